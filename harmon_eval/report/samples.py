"""What a card says of a sample beside its verdict: tag, references, points, how sure it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import Sample, Task

Row = Mapping[str, Any]
References = tuple[tuple[str, Path], ...]
Points = tuple[tuple[str, bool | float], ...]

TAGS = ("stratum", "tag", "category")
# Texts that belong to one sample, to its marking or to its reply, and sort nothing.
NO_TAGS = {
    *("id", "group", "response", "unscored", "reason", "prompt", "question", "instruction"),
    *("reply", "raw_reply", "parsed", "rule", "answer", "target", "label", "truth", "answers"),
    *("judge", "judge_as_returned", "rubric", "rubric_kind", "reader", "read", "setting", "place"),
    *("details", "detections", "metadata", "points", "explanation", "release", "options", "number"),
    *("data_file", "clip_network", "dino_network", "source_size", "result_size", "reference"),
}
LONGEST_TAG, MOST_TAGS = 40, 40
LENGTHS = ((10, "up to 10 words"), (30, "11 to 30 words"))
SURE = ("confidence", "margin", "probability")


def tag_column(rows: Mapping[str, Row]) -> str:
    """The column that sorts the samples of a task: what strata and tags are called, else the first
    one with a few short texts. Empty where there is none."""
    for name in TAGS:
        if any(is_text(row.get(name)) for row in rows.values()):
            return name
    found: dict[str, set[str]] = {}
    for row in rows.values():
        for name, value in row.items():
            if is_text(value) and not _belongs_to_one(name):
                found.setdefault(name, set()).add(value)
    several = [
        name
        for name, values in found.items()
        if 1 < len(values) <= MOST_TAGS and max(map(len, values)) <= LONGEST_TAG
    ]
    return next(iter(several), "")


def _belongs_to_one(name: str) -> bool:
    return name in NO_TAGS or name.endswith(("_reply", "_rule")) or ":" in name.removeprefix("by:")


def is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def tag_of(row: Row, column: str, text: str) -> str:
    """The row's value of the task's tag column; without one, how long the request is."""
    for name in (column, *TAGS):
        if is_text(value := row.get(name)):
            return str(value)
    words = len(text.split())
    return next((name for most, name in LENGTHS if words <= most), "over 30 words")


def references_of(sample: Sample | None) -> References:
    """Images that a response is measured against, by the names the task gives them."""
    if sample is None:
        return ()
    shown = {*sample.request.files}
    found = ((name, value) for name, value in sample.target.items() if isinstance(value, Path))
    return tuple((name, file) for name, file in found if file not in shown)


def points_of(task: Task | None, sample: Sample | None, row: Row) -> Points:
    """The questions that were asked about a response, with verdicts or scores from 0 to 1."""
    if task is None or task.points is None or sample is None or is_text(row.get("unscored")):
        return ()
    try:
        return tuple(task.points(sample, row))
    except (KeyError, TypeError, ValueError):
        return ()  # rows of another version


def sure_of(row: Row, scores: Sequence[float], grade: float | None = None) -> float | None:
    """How sure a mark is, from 0 to 1: its own confidence, the least certain of ``scores``,
    or how far a ``grade`` from 0 to 1 is from the middle. None where nothing says it."""
    for name in SURE:
        if (value := _share(row.get(name))) is not None:
            return value
    if scores:
        return min(scores)
    return None if grade is None else abs(2 * grade - 1)


def _share(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= 1 else None
