"""DPG-Bench's graph of questions: what the answers about an image come to.

Paper: Hu et al. 2024, arXiv 2403.05135. Protocol: TencentQQGYLab/ELLA @ 3c228f1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from harmon_eval.core import Row
from harmon_eval.metrics.rows import Mask
from harmon_eval.replies.numbers import folded
from harmon_eval.tasks.dpg.files import Question

SHORT = 100  # characters, in which a reply is one word, whatever its form
FORMS = ({"json"}, {"answer"})  # words of a fence or an object around it


def parse_yes_no(reply: str) -> bool | None:
    """True for yes, False for no, as the one word of the reply, in any case, with punctuation,
    Markdown or JSON around it; None for all else."""
    if len(reply.strip()) > SHORT:
        return None
    words = re.findall(r"[^\W_]+", folded(reply).lower())
    for form in FORMS:
        if words and words[0] in form:
            words = words[1:]
    return {("yes",): True, ("no",): False}.get(tuple(words))


def score(questions: Iterable[Question], answers: Mapping[int, bool]) -> float:
    """Share of questions answered yes, a yes without its parents' not counting.

    In file order, as the published script does it: a question that was set to no counts as no for
    those after it, and a parent that comes later counts as it was answered. Raises KeyError for a
    parent that the item lacks."""
    counts = dict(answers)
    asked = list(questions)
    for question in asked:
        if not all([counts[parent] for parent in question.parents]):
            counts[question.number] = False
    return sum(counts[question.number] for question in asked) / len(asked)


def corrected_score(questions: Sequence[Question], answers: Mapping[int, bool]) -> float:
    """The same for all questions; a parent that the file does not have asks nothing."""
    known = {question.number for question in questions}
    pruned = [
        Question(q.number, q.text, tuple(p for p in q.parents if p in known), q.detailed)
        for q in questions
    ]
    return score(pruned, answers)


def published_questions(questions: Sequence[Question], first: bool) -> list[Question]:
    """Those that the published script sees: it loses the first row of the file."""
    return list(questions[1:] if first else questions)


def published_score(
    questions: Sequence[Question], answers: Mapping[int, bool], first: bool
) -> float | None:
    """The published script's score of one image; None where it drops the item with an error."""
    seen = published_questions(questions, first)
    if not seen:
        return None
    try:
        return score(seen, {question.number: answers[question.number] for question in seen})
    except KeyError:
        return None


def category_counts(
    questions: Sequence[Question], answers: Mapping[int, bool], prefix: str
) -> dict[str, float]:
    """Yes answers and questions of each category, broad and detailed, before dependencies."""
    counts: dict[str, float] = {}
    for question in questions:
        for category in {question.broad, question.detailed}:
            for kind, value in (("yes", float(answers[question.number])), ("of", 1.0)):
                name = f"{prefix}{kind}:{category}"
                counts[name] = counts.get(name, 0.0) + value
    return counts


def mark_image(questions: Sequence[Question], said: dict[int, bool], first: bool) -> Row:
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
