"""GenEval 2: questions about each part of a prompt, scored by the probability of their answers.

Paper: Kamath et al. 2025, arXiv 2512.16853. Protocol: facebookresearch/GenEval2 @ a6e82d2.
Soft-TIFA: the probability that the judge's reply begins with the right answer. A prompt's score is
the geometric (``soft_tifa_gm``) or the arithmetic mean (``soft_tifa_am``) over its questions.

``geneval2:as_published`` counts a reply that begins with a bare space for every number, as the
published script does where the tokenizer splits a space off before a digit (Qwen's does).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Metric,
    Reward,
    Row,
    Sample,
    Score,
    Source,
    Task,
    Unscorable,
)
from harmon_eval.metrics import likelihood
from harmon_eval.metrics.shares import share
from harmon_eval.replies.probabilities import read
from harmon_eval.settings import variant
from harmon_eval.tasks.geneval2 import mini
from harmon_eval.tasks.geneval2.files import FILE, OFFICIAL, read_prompts
from harmon_eval.tasks.geneval2.rules import (
    OF,
    SUM,
    bounds,
    image_row,
    of_atoms,
    of_skill,
    skill_share,
    summarize,
)

WORD = " Answer in one word."
WHOLE = 'Does this image show "{}"? Answer the question with Yes or No.'
OURS, PUBLISHED = "ours", "as_published"


ABOUT = About(
    paper="arXiv 2512.16853",
    version="1",
    protocol="facebookresearch/GenEval2 @ a6e82d2, soft_tifa, one image a prompt",
    differs="A bare space counts for no number (`geneval2:as_published` keeps that). Probabilities "
    "come from raw logits, never from what sampling made of them; where an endpoint lists only its "
    "top tokens, the score is a lower end and the headline has bounds.",
    compares="The official judge is Qwen3-VL-8B-Instruct; the judge is part of the metric's name.",
    licence="CC BY-NC 4.0, data and code: nothing of it ships",
    size="800 prompts, 6,012 questions",
    cost="800 drawings; a question's probability each",
)
ABOUT_PUBLISHED = replace(ABOUT, version="1, as published")


def samples(data: Data) -> Iterator[Sample]:
    for number, prompt in enumerate(read_prompts(data.folder / FILE)):
        target = {
            "questions": list(prompt.questions),
            "answers": list(prompt.answers),
            "skills": list(prompt.skills),
            "atoms": prompt.atoms,
            "prompt": prompt.text,
        }
        yield Sample(f"{number:04d}", Draw(prompt.text), target, f"{number:04d}")


def judged(sample: Sample, image: Path | None, space: bool) -> list[Score]:
    """The questions about the parts, then the one about the whole prompt."""
    images = (image,) if image else ()
    target = sample.target
    asked = [
        Score(question + WORD, (likelihood.answer_forms(answer, space),), images)
        for question, answer in zip(target["questions"], target["answers"], strict=True)
    ]
    # No format string is made of a prompt: the original raises for one with braces.
    whole = WHOLE.replace("{}", target["prompt"])
    return [*asked, Score(whole, (likelihood.YES,), images)]


def mark(answers: Sequence[Answer], instruments: Instruments, space: bool) -> list[Row]:
    """One row an image. An image with a question whose probability is not known is unscored."""
    judge = instruments["judge"]
    asks = [judged(answer.sample, answer.image, space) for answer in answers]
    verdicts = iter(judge.verdicts([a for own in asks for a in own], partial(read, options=1)))
    rows: list[Row] = []
    for answer, own in zip(answers, asks, strict=True):
        found = [next(verdicts) for _ in own]
        if failed := next((v for v in found if isinstance(v, Unscorable)), None):
            rows.append({"unscored": str(failed)})
            continue
        given = [verdict.value for verdict in found]
        hard = [
            first.likeliest.strip().lower() in likelihood.answer_forms(wanted)
            for first, wanted in zip(given, answer.sample.target["answers"], strict=False)
        ]
        masses, unseen = [first.masses[0] for first in given], [first.unseen for first in given]
        row = image_row(answer.sample, masses, hard, unseen)
        seen = 1.0 - max(unseen)
        rows.append({"judge": judge.name, "seen": seen, **row})
    return rows


def points(sample: Sample, row: Mapping[str, Any]) -> list[tuple[str, bool | float]]:
    """Of each question, the probability of its right answer."""
    scores: list[float] = json.loads(row["scores"])
    return list(zip(sample.target["questions"], scores, strict=True))


def open_task(argument: str = "") -> Task:
    """``geneval2:RULE``: ours, or as_published."""
    space = variant(argument, rule=(OURS, PUBLISHED))["rule"] == PUBLISHED
    return Task(
        samples=samples,
        mark=partial(mark, space=space),
        summarize=summarize,
        metrics=(
            Metric("soft_tifa_gm[*]", maximum=100.0, headline=True, of=share("gm")),
            Metric("soft_tifa_am[*]", maximum=100.0, of=share("am")),
            Metric("tifa[*]", maximum=100.0, of=share("tifa")),
            Metric("vqascore_yes_mass[*]", maximum=100.0, of=share("vqascore")),
            Metric("skill/*", maximum=100.0, rows=of_skill, of=skill_share),
            Metric("atoms/*", maximum=100.0, rows=of_atoms, of=share("gm")),
        ),
        about=ABOUT if not space else ABOUT_PUBLISHED,
        sources={"official": OFFICIAL, "mini": Source(make=mini.make)},
        instruments={"judge": ""},
        judged=partial(judged, space=space),
        bounds=bounds,
        points=points,
        columns=("judge", "am", "gm", "tifa", "vqascore", "atoms", f"{SUM}*", f"{OF}*"),
        reward=Reward.of_columns("gm", "am", "tifa", "vqascore"),
    )


TASK = open_task()
