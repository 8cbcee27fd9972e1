"""Which samples people are asked about, and what they are shown of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.report.gather import TaskView, absent, read_task, text_of
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.run_folder import RunFolder


@dataclass(frozen=True)
class Shown:
    """One question: the prompt, the images that belong to it, and one or two responses.

    ``swapped``: the other run's response stands on the left. ``response`` is the hash of what is
    marked."""

    sample: str
    text: str
    asked: tuple[Path, ...]
    responses: tuple[Path | str, ...]
    response: str
    swapped: bool = False

    @property
    def images(self) -> tuple[Path, ...]:
        return (*self.asked, *(r for r in self.responses if isinstance(r, Path)))


@dataclass(frozen=True)
class Marked:
    """The responses of one task of a run, or of two, with the hash of each sample's response(s)."""

    views: tuple[TaskView, ...]
    hashes: Mapping[str, str]


def read(run: RunFolder, task: str, against: RunFolder | None, data: Path | None) -> Marked:
    """Raises UserError if a run lacks the task or responses that people can mark."""
    views = []
    for each in (run, against):
        if each is None:
            continue
        if task not in (tasks := each.manifest["tasks"]):
            raise UserError(f"{each.path} has no task {task!r}: it has {', '.join(tasks)}")
        views.append(read_task(each, task, data))
    common = [
        sample
        for sample, row in views[0].rows.items()
        if all(sample in view.responses for view in views) and absent(row.get("unscored"))
    ]
    if not common:
        raise UserError(f"{run.path} has no scored responses of {task} to mark")
    hashes = {s: "+".join(_hash(view.responses[s]) for view in views) for s in common}
    return Marked(tuple(views), hashes)


def _hash(response: Path | str) -> str:
    return sha256_of(response)[:16]


def choose(samples: Sequence[str], count: int, seed: int) -> list[str]:
    """``count`` samples at random. More of them with the same seed begin with the same ones."""
    order = np.random.default_rng(seed).permutation(len(samples))
    ordered = sorted(samples)
    return [ordered[place] for place in order[:count]]


def shown(found: Marked, sample: str, seed: int) -> Shown:
    """What a rater sees; never a mark, and of two runs not which is which."""
    view = found.views[0]
    known = view.samples.get(sample)
    row = view.rows[sample]
    texts = (row.get(column) for column in ("prompt", "question", "instruction"))
    told = next((str(text) for text in texts if not absent(text)), sample)
    responses = tuple(each.responses[sample] for each in found.views)
    drawn = np.random.default_rng([seed, *sample.encode()])
    swapped = len(responses) > 1 and bool(drawn.integers(2))
    return Shown(
        sample,
        told if known is None else text_of(known),
        () if known is None else tuple(known.request.files),
        responses[::-1] if swapped else responses,
        found.hashes[sample],
        swapped,
    )
