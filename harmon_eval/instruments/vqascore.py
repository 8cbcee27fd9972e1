"""VQAScore: how likely does a judge answer yes when asked whether an image shows a text?

Paper: Lin et al. 2024, arXiv 2404.01291. The published code has several recipes under this name,
whose numbers do not compare: they differ in the question, in what is summed and in how an
endpoint's list of tokens is read. ``RECIPES`` has them by name, and two of ours. Sources:
linzhiqiu/t2v_metrics @ 6ecb74f (3.1) and its release 3.0, X-GenGroup/Flow-Factory @ a0b2bc5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harmon_eval.core import Score, Unscorable
from harmon_eval.metrics import likelihood
from harmon_eval.replies.probabilities import First, Whole

PAPERS = 'Does this figure show "{}"? Please answer yes or no.'  # release 3.0
LATER = 'Does this figure show "{}"? Please answer Yes or No.'  # release 3.1
Forms = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Scored:
    """A score in [0, 1]. Where only a part of the first tokens was seen, it lies in [least,
    most]."""

    value: float
    least: float
    most: float


@dataclass(frozen=True)
class Recipe:
    """``about`` says who scores so. ``read`` makes the score of what the judge gave. Raises
    Unscorable where that does not suffice."""

    about: str
    question: str
    options: Forms
    read: Callable[[First | Whole], Scored]
    kind: Literal["first", "whole"] = "first"

    def ask(self, text: str, image: Path | None) -> Score:
        # Not by str.format: a text may hold braces.
        question = self.question.replace("{}", text)
        return Score(question, self.options, (image,) if image else (), self.kind)


def _first(found: First | Whole) -> First:
    if not isinstance(found, First):
        raise Unscorable("the judge gave no probabilities of first tokens")
    return found


def _mass(found: First | Whole) -> Scored:
    first = _first(found)
    mass = first.masses[0]
    return Scored(mass, mass, min(1.0, mass + first.unseen))


def _share(found: First | Whole) -> Scored:
    """Yes over yes and no; what was not seen may be of either."""
    first = _first(found)
    yes, no = first.masses
    if not yes + no:
        raise Unscorable("neither yes nor no is among the first tokens that the judge lists")
    rest = first.unseen
    whole = yes + no + rest
    return Scored(yes / (yes + no), yes / whole, (yes + rest) / whole)


def _label(found: First | Whole) -> Scored:
    if not isinstance(found, Whole):
        raise Unscorable("the judge gave no probabilities of a whole reply")
    score = likelihood.label_mean(found.with_ends()[0])
    return Scored(score, score, score)


def _listed(rule: Callable[[tuple[tuple[str, float], ...]], float]) -> Callable[..., Scored]:
    """A rule that reads the list of the likeliest first tokens, which is all that it asks for."""

    def read(found: First | Whole) -> Scored:
        top = _first(found).top
        if not top:
            raise Unscorable("the judge lists no first tokens, which this recipe reads")
        score = min(1.0, rule(top))
        return Scored(score, score, score)

    return read


_YES_NO = (likelihood.YES, likelihood.NO)
RECIPES = {
    "yes_mass": Recipe("ours: all forms of yes", LATER, (likelihood.YES,), _mass),
    "yes_share": Recipe("ours: yes over yes and no, all forms", LATER, _YES_NO, _share),
    "clip_flant5": Recipe("CLIP-FlanT5 and LLaVA, 3.0", PAPERS, (("Yes",),), _label, "whole"),
    "instructblip": Recipe(
        "InstructBLIP, 3.0", f"Question: {PAPERS}", (("yes",),), _label, "whole"
    ),
    "qwen_vl": Recipe("Qwen2.5-VL and Qwen3-VL, 3.1", LATER, (("Yes",),), _mass),
    "gpt4o_3_0": Recipe("GPT-4o, 3.0", PAPERS, _YES_NO, _listed(likelihood.vqascore_3_0)),
    "gpt4o_3_1": Recipe("GPT-4o, 3.1", LATER, _YES_NO, _listed(likelihood.vqascore_3_1)),
    "flow_factory": Recipe(
        "Flow-Factory's rule (exact Yes and No) on 3.1's question; its own is about quality",
        LATER,
        _YES_NO,
        _listed(likelihood.flow_factory),
    ),
}
OURS = "yes_mass"
