"""MMBench's metrics: circular and plain accuracy, by each rule that reads the replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Metric, count
from harmon_eval.metrics.rows import both, having
from harmon_eval.metrics.shares import bracketed, of_groups
from harmon_eval.tasks.mmbench.circular import Groups, mean, whole
from harmon_eval.tasks.mmbench.files import LEVELS, of_level

if TYPE_CHECKING:
    import pandas as pd

WHOLE = "whole-letter"  # a rule of ours
RANDOM = "random-letter"


def marks(rows: pd.DataFrame, name: str) -> np.ndarray:
    """How right each row is by the rule that the metric names in brackets."""
    if (rule := bracketed(name)) != RANDOM:
        return np.asarray(rows[rule or "correct"], float)
    chance = 1 / (rows["options"].to_numpy() + 1)
    found = np.where(rows["unmatched"].to_numpy(bool), chance, rows["correct"].to_numpy(float))
    return np.asarray(found)


def all_rotations(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    groups = Groups.of(rows["group"].to_numpy(), rows["options"].to_numpy())
    return of_groups(rows, groups.circular(marks(rows, name)))


def each_row(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    return marks(rows, name), np.ones(len(rows))


METRICS = (
    Metric("circular", maximum=100.0, rows=whole, headline=True, of=all_rotations),
    Metric("circular[*]", maximum=100.0, rows=whole, of=all_rotations),
    Metric("circular_*", maximum=100.0, rows=both(whole, of_level), of=all_rotations),
    Metric("vanilla_0", maximum=100.0, rows=having("base", True), of=each_row),
    Metric("vanilla_all", maximum=100.0, of=each_row),
    Metric("vanilla_all[*]", maximum=100.0, of=each_row),
    *map(count, ("unmatched", "incomplete_questions", "answered")),
)


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Percent. Questions with missing rotations have no circular mark; they are counted."""
    unmatched = rows["unmatched"].to_numpy(dtype=bool)
    counts = {"unmatched": float(unmatched.sum())}
    if not rows["answer"].astype(bool).any():
        return {"answered": float(len(rows)), **counts}
    correct = rows["correct"].to_numpy(dtype=float)
    groups = Groups.of(rows["group"].to_numpy(), rows["options"].to_numpy())
    circular = groups.circular(correct)
    drawn = marks(rows, f"[{RANDOM}]")
    metrics = {
        "circular": mean(circular),
        "vanilla_all": mean(correct),
        "vanilla_0": mean(correct[rows["base"].to_numpy(dtype=bool)]),
        f"circular[{RANDOM}]": mean(groups.circular(drawn)),
        f"vanilla_all[{RANDOM}]": mean(drawn),
        "circular[lmms-eval]": mean(groups.circular(rows["lmms-eval"].to_numpy(float))),
        f"circular[{WHOLE}]": mean(groups.circular(rows[WHOLE].to_numpy(float))),
        f"vanilla_all[{WHOLE}]": mean(rows[WHOLE].to_numpy(float)),
    }
    for level in LEVELS:
        names = groups.first(rows[level].to_numpy())
        metrics |= {f"circular_{name}": mean(circular[names == name]) for name in sorted({*names})}
    counts["incomplete_questions"] = float((~groups.whole).sum())
    return {**{name: 100 * value for name, value in metrics.items()}, **counts}
