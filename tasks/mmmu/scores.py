"""MMMU's metrics: shares of questions overall, by discipline and by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Metric, count
from harmon_eval.metrics.rows import having, of
from harmon_eval.metrics.shares import bracketed
from harmon_eval.replies import mmmu_answers
from harmon_eval.tasks.mmmu.files import DISCIPLINES, SUBJECTS

if TYPE_CHECKING:
    import pandas as pd

PAST_TAILS = "empty-tail"  # a rule of ours
RANDOM, DRAWN = "random-letter", "random-42"  # what an unmatched reply counts as
COLUMNS = (
    *("subject", "number", "choice", "options", "answer", "known", "unmatched", "correct"),
    PAST_TAILS,
)


def right(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Which questions are right by the rule that the metric names in brackets."""
    rules = {RANDOM: with_chances, DRAWN: with_drawn_letters}
    rule = bracketed(name)
    marks = rules[rule](rows) if rule in rules else rows[rule or "correct"].to_numpy(float)
    return marks, np.ones(len(rows))


def metrics(headline: str) -> tuple[Metric, ...]:
    """What the numbers mean; ``headline`` is such as ``mmmu_val``, by the split."""
    return (
        Metric(headline, maximum=100.0, headline=True, of=right),
        Metric(f"{headline}[*]", maximum=100.0, of=right),
        Metric("mmmu_mc", maximum=100.0, rows=having("choice", True), of=right),
        Metric("mmmu_open", maximum=100.0, rows=having("choice", False), of=right),
        Metric("mmmu_open[*]", maximum=100.0, rows=having("choice", False), of=right),
        *(
            Metric(name, maximum=100.0, rows=having("subject", *subjects), of=right)
            for name, subjects in DISCIPLINES.items()
        ),
        *(Metric(name, maximum=100.0, rows=of("subject"), of=right) for name in SUBJECTS),
        *map(count, ("unmatched", "answered", "expected_random")),
    )


def summarize(rows: pd.DataFrame, headline: str = "mmmu_val") -> dict[str, float]:
    """Percent of questions. ``expected_random`` is how many random letters would be right."""
    correct, choice = rows["correct"].to_numpy(float), rows["choice"].to_numpy(bool)
    past_tails = rows[PAST_TAILS].to_numpy(float)
    unmatched = rows["unmatched"].to_numpy(bool)
    counts = {"unmatched": float(unmatched.sum())}
    if not rows["known"].any():
        return {"answered": float(len(rows)), **counts}
    subjects = rows["subject"].to_numpy()
    disciplines = np.array([SUBJECTS[subject] for subject in subjects])
    parts = {"mmmu_mc": choice, "mmmu_open": ~choice}
    parts |= {name: disciplines == name for name in sorted(set(SUBJECTS.values()))}
    parts |= {name: subjects == name for name in SUBJECTS}
    found = {headline: correct.mean()}
    found |= {name: correct[own].mean() for name, own in parts.items() if own.any()}
    found[f"{headline}[{RANDOM}]"] = with_chances(rows).mean()
    found[f"{headline}[{DRAWN}]"] = with_drawn_letters(rows).mean()
    found[f"{headline}[{PAST_TAILS}]"] = past_tails.mean()
    if not choice.all():
        found[f"mmmu_open[{PAST_TAILS}]"] = past_tails[~choice].mean()
    counts["expected_random"] = float(chances(rows)[unmatched].sum())
    return {**{name: 100 * float(value) for name, value in found.items()}, **counts}


def chances(rows: pd.DataFrame) -> np.ndarray:
    """How likely a random letter is right (n,)."""
    return np.array([1 / len(some) if some else 0.0 for some in rows["options"]])


def with_chances(rows: pd.DataFrame) -> np.ndarray:
    """Marks (n,) where unmatched replies get what a random letter is expected to."""
    return np.where(
        rows["unmatched"].to_numpy(bool), chances(rows), rows["correct"].to_numpy(float)
    )


def with_drawn_letters(rows: pd.DataFrame) -> np.ndarray:
    """Marks (n,) where unmatched replies get the letters that the original draws.

    It goes through the subjects by the alphabet, and through each by the questions' numbers."""
    marks: np.ndarray = rows["correct"].to_numpy(float).copy()
    letters = rows["options"].to_numpy()
    answers, unmatched = rows["answer"].to_numpy(), rows["unmatched"].to_numpy(bool)
    order = np.lexsort((rows["number"].to_numpy(), rows["subject"].to_numpy(str)))
    drawn = order[unmatched[order]]
    marks[drawn] = np.array(mmmu_answers.random_letters(letters[drawn])) == answers[drawn]
    return marks
