"""People's marks in ``RUN/TASK/human.jsonl``: an append-only log with checksums, flushed per mark.

A line is a mark (sample, rater, value 0 ... 1, scale) or a choice (which samples are to be marked).
A later mark by the same rater of the same sample replaces an earlier one. Marks belong to a
response: they name its hash, and no longer count when the response is another one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.store.log import append, log_entries
from harmon_eval.store.task_folder import TaskFolder

HUMAN_LOG = "human.jsonl"
TIE = 0.5
MAX_RATER = 60


@dataclass(frozen=True)
class Scale:
    """What a rater is asked: ``name``, and each key with its label and value."""

    name: str
    keys: tuple[tuple[str, str, float], ...]

    def value(self, key: str) -> float | None:
        return next((value for own, _, value in self.keys if own == key), None)


RIGHT_OR_WRONG = Scale("right-or-wrong", (("1", "right", 1.0), ("0", "wrong", 0.0)))
PAIR = Scale(
    "pair", (("1", "left is better", 1.0), ("2", "right is better", 0.0), ("0", "tie", TIE))
)


def scale(text: str) -> Scale:
    """``1-5`` and the like; empty for right or wrong. Raises UserError."""
    if not text:
        return RIGHT_OR_WRONG
    low, dash, high = text.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and 0 <= int(low) < int(high) <= 9):
        raise UserError(f"--scale {text!r} must be LOW-HIGH with single digits, such as 1-5")
    first, last = int(low), int(high)
    values = range(first, last + 1)
    return Scale(text, tuple((str(v), str(v), (v - first) / (last - first)) for v in values))


@dataclass(frozen=True)
class HumanMark:
    sample: str
    rater: str
    value: float
    scale: str
    against: str = ""


def rater_name(text: object) -> str:
    """Raises UserError for a name that is empty, too long or not printable."""
    name = text.strip() if isinstance(text, str) else ""
    if not name or len(name) > MAX_RATER or not name.isprintable():
        raise UserError(f"a rater's name has 1 to {MAX_RATER} printable characters")
    return name


class HumanMarks:
    """The marks of one task of a run, for one scale and one other run (``against``) or none."""

    def __init__(self, folder: TaskFolder, scale: str, against: str = "") -> None:
        self.folder, self.scale, self.against = folder, scale, against
        self.log = folder.path / HUMAN_LOG

    def add(self, sample: str, rater: str, value: float, response: str) -> None:
        """One mark, durably. ``response`` is the hash of what was marked."""
        entry = {"mark": sample, "rater": rater, "value": value, "response": response}
        append(self.log, [{**entry, **self._kind()}], self.folder.root)

    def note_choice(self, samples: Sequence[str], seed: int) -> None:
        """These samples were chosen at random. Raises UserError if another choice was begun."""
        entry = {"choice": list(samples), "seed": seed, **self._kind()}
        known = self.choice()
        if known and known[: len(samples)] != list(samples)[: len(known)]:
            raise UserError(
                f"{self.log} holds marks of another random choice: give the same --seed again"
            )
        if len(samples) > len(known):
            append(self.log, [entry], self.folder.root)

    def choice(self) -> list[str]:
        """The samples chosen at random so far; empty if there is no random choice."""
        choices = [e["choice"] for e in self._entries() if isinstance(e.get("choice"), list)]
        return [str(sample) for sample in choices[-1]] if choices else []

    def marks(self, responses: Mapping[str, str]) -> list[HumanMark]:
        """The last mark by each rater of each sample whose response has that hash still."""
        found: dict[tuple[str, str], HumanMark] = {}
        for entry in self._entries():
            sample, rater, value = (entry.get(name) for name in ("mark", "rater", "value"))
            sound = isinstance(sample, str) and isinstance(rater, str)
            if not sound or not isinstance(value, int | float) or not 0 <= value <= 1:
                continue
            if responses.get(str(sample)) == entry.get("response"):
                mark = HumanMark(str(sample), str(rater), float(value), self.scale, self.against)
                found[mark.sample, mark.rater] = mark
        return list(found.values())

    def _kind(self) -> dict[str, str]:
        return {"scale": self.scale, "against": self.against}

    def _entries(self) -> list[dict[str, Any]]:
        kind = self._kind().items()
        return [
            e for e in logged(self.folder) if kind <= {k: e.get(k) for k in self._kind()}.items()
        ]


def logged(folder: TaskFolder) -> list[dict[str, Any]]:
    """All sound lines of a task's log."""
    log = folder.path / HUMAN_LOG
    if not os.path.lexists(log):
        return []
    return [entry for _, entry in log_entries(log, folder.root)]


def kinds(folder: TaskFolder) -> list[tuple[str, str]]:
    """The scales that were used, each with the run that it compared with."""
    found = {(str(e.get("scale", "")), str(e.get("against", ""))): None for e in logged(folder)}
    return list(found)


def table(marks: Sequence[HumanMark], samples: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Ratings (samples, raters) with NaN for none, and the raters' names."""
    raters = sorted({mark.rater for mark in marks})
    rows = {sample: place for place, sample in enumerate(samples)}
    ratings = np.full((len(samples), len(raters)), np.nan)
    for mark in marks:
        if mark.sample in rows:
            ratings[rows[mark.sample], raters.index(mark.rater)] = mark.value
    return ratings, raters
