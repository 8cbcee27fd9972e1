"""DPG-Bench's files and its graph of questions.

Paper: Hu et al. 2024, arXiv 2403.05135. Protocol: TencentQQGYLab/ELLA @ 3c228f1.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import Row, UserError

COLUMNS = ("item_id", "proposition_id", "dependency", "tuple", "question_natural_language")


@dataclass(frozen=True)
class Question:
    """A yes/no question of an item. ``detailed`` is such as "attribute - color"; ``parents`` are
    the questions without whose yes this one's does not count."""

    number: int
    text: str
    parents: tuple[int, ...]
    detailed: str

    @property
    def broad(self) -> str:
        return self.detailed.split(" - ")[0].strip()


def read_questions(file: Path) -> tuple[dict[str, list[Question]], str]:
    """Questions by item, in file order, and the item of the first row.

    Raises UserError naming the row and the column."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as CSV: {error}") from None
    if not rows:
        raise UserError(f"{file} holds no questions")
    found: dict[str, list[Question]] = {}
    for number, row in enumerate(rows, start=2):
        if missing := [name for name in COLUMNS if row.get(name) is None]:
            raise UserError(f"{file}, row {number}: the column {missing[0]!r} is missing")
        try:
            proposition = int(row["proposition_id"])
            parents = tuple(int(part) for part in row["dependency"].split(","))
        except ValueError:
            raise UserError(
                f"{file}, row {number}: proposition_id and dependency must be numbers, "
                "the latter separated by commas"
            ) from None
        question = Question(
            proposition,
            row["question_natural_language"].strip(),
            tuple(parent for parent in parents if parent != 0),
            row["tuple"].split("(")[0].strip(),
        )
        item = found.setdefault(row["item_id"], [])
        if any(other.number == proposition for other in item):
            raise UserError(
                f"{file}, row {number}: question {proposition} of {row['item_id']!r} occurs twice"
            )
        item.append(question)
    return found, rows[0]["item_id"]


def parse_yes_no(reply: str) -> bool | None:
    """True for yes, False for no, in any case and with a full stop; None for all else."""
    return {"yes": True, "no": False}.get(reply.strip().lower().removesuffix("."))


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
