"""DPG-Bench's graph of questions: what the answers about an image come to.

Paper: Hu et al. 2024, arXiv 2403.05135. Protocol: TencentQQGYLab/ELLA @ 3c228f1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Metric, Row
from harmon_eval.metrics.rows import Mask, both, having, known
from harmon_eval.metrics.shares import Share, group_means
from harmon_eval.tasks.checklist import rules as checklist
from harmon_eval.tasks.checklist.files import Point
from harmon_eval.tasks.dpg.files import broad

if TYPE_CHECKING:
    import pandas as pd


def score(questions: Sequence[Point], answers: Mapping[str, bool]) -> float:
    """Share of questions answered yes, a yes without its parents' not counting, in file order as
    the published script does it. Raises KeyError for a parent that the item lacks."""
    return checklist.score(questions, checklist.in_order(questions, answers))


def corrected_score(questions: Sequence[Point], answers: Mapping[str, bool]) -> float:
    """The same for all questions; a parent that the file does not have asks nothing."""
    known = {question.id for question in questions}
    pruned = [replace(q, parents=tuple(p for p in q.parents if p in known)) for q in questions]
    return score(pruned, answers)


def published_questions(questions: Sequence[Point], first: bool) -> list[Point]:
    """Those that the published script sees: it loses the first row of the file."""
    return list(questions[1:] if first else questions)


def published_score(
    questions: Sequence[Point], answers: Mapping[str, bool], first: bool
) -> float | None:
    """The published script's score of one image; None where it drops the item with an error."""
    seen = published_questions(questions, first)
    if not seen:
        return None
    try:
        return score(seen, {question.id: answers[question.id] for question in seen})
    except KeyError:
        return None


def category_counts(
    questions: Sequence[Point], answers: Mapping[str, bool], prefix: str
) -> dict[str, float]:
    """Yes answers and questions of each category, broad and detailed, before dependencies."""
    counts: dict[str, float] = {}
    for question in questions:
        for category in {broad(question.kind), question.kind}:
            for kind, value in (("yes", float(answers[question.id])), ("of", 1.0)):
                name = f"{prefix}{kind}:{category}"
                counts[name] = counts.get(name, 0.0) + value
    return counts


def mark_image(questions: Sequence[Point], said: dict[str, bool], first: bool) -> Row:
    """``said`` are the raw answers by question; ``first``: the item begins the question file."""
    published = published_score(questions, said, first)
    seen = [] if published is None else published_questions(questions, first)
    return {
        "answers": json.dumps(said),
        "score": corrected_score(questions, said),
        "published": float("nan") if published is None else published,
        **category_counts(questions, said, ""),
        **category_counts(seen, said, "published "),
    }


def reward(row: Row) -> dict[str, float]:
    """An image's score, and the share of yes in each broad category that it was asked about."""
    kinds = sorted(name.removeprefix("of:") for name in row if name.startswith("of:"))
    shares = {kind: row[f"yes:{kind}"] / row[f"of:{kind}"] for kind in kinds if " - " not in kind}
    return {"score": float(row["score"]), **shares}


def categories(rows: pd.DataFrame, prefix: str, name: str) -> dict[str, float]:
    """Percent of yes in each category, from the sums of ``category_counts``."""
    sums = rows[[c for c in rows.columns if c.startswith((f"{prefix}yes:", f"{prefix}of:"))]].sum()
    start = f"{prefix}of:"
    found = sorted(c.removeprefix(start) for c in sums.index if c.startswith(start))
    return {
        f"{name}{category}": 100 * float(sums[f"{prefix}yes:{category}"] / sums[start + category])
        for category in found
        if sums[start + category]
    }


def asked(prefix: str, name: str) -> Mask:
    """Rows with questions of the category that the metric names after ``name``."""
    return lambda rows, metric: rows[f"{prefix}of:{metric.removeprefix(name)}"] > 0


def yes(prefix: str, name: str) -> Share:
    """The share of yes among the questions of the category that the metric names after ``name``."""

    def found(rows: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
        category = metric.removeprefix(name)
        pair = rows[[f"{prefix}yes:{category}", f"{prefix}of:{category}"]].fillna(0.0)
        marks, weights = pair.to_numpy(np.float64).T
        return marks, weights

    return found


METRICS = (
    Metric("dpg[*]", maximum=100.0, headline=True, of=group_means("score")),
    Metric(
        "as_published[*]",
        maximum=100.0,
        rows=known("published"),
        of=group_means("published"),
    ),
    Metric(
        "as_published/*",
        maximum=100.0,
        rows=both(having("last", True), asked("published ", "as_published/")),
        of=yes("published ", "as_published/"),
    ),
    Metric("*", maximum=100.0, rows=asked("", ""), of=yes("", "")),
)
