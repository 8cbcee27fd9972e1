"""MMBench's metrics: circular and plain accuracy, by each rule that reads the replies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harmon_eval.core import Metric, count
from harmon_eval.metrics.rows import both, having
from harmon_eval.tasks.mmbench.circular import Groups, mean, whole
from harmon_eval.tasks.mmbench.files import LEVELS, of_level

WHOLE = "whole-letter"  # a rule of ours
METRICS = (
    Metric("circular", maximum=100.0, rows=whole, headline=True),
    Metric("circular[*]", maximum=100.0, rows=whole),
    Metric("circular_*", maximum=100.0, rows=both(whole, of_level)),
    Metric("vanilla_0", maximum=100.0, rows=having("base", True)),
    Metric("vanilla_all", maximum=100.0),
    Metric("vanilla_all[*]", maximum=100.0),
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
    drawn = np.where(unmatched, 1 / (rows["options"].to_numpy() + 1), correct)
    metrics = {
        "circular": mean(circular),
        "vanilla_all": mean(correct),
        "vanilla_0": mean(correct[rows["base"].to_numpy(dtype=bool)]),
        "circular[random-letter]": mean(groups.circular(drawn)),
        "vanilla_all[random-letter]": mean(drawn),
        "circular[lmms-eval]": mean(groups.circular(rows["lmms-eval"].to_numpy(float))),
        f"circular[{WHOLE}]": mean(groups.circular(rows[WHOLE].to_numpy(float))),
        f"vanilla_all[{WHOLE}]": mean(rows[WHOLE].to_numpy(float)),
    }
    for level in LEVELS:
        names = groups.first(rows[level].to_numpy())
        metrics |= {f"circular_{name}": mean(circular[names == name]) for name in sorted({*names})}
    counts["incomplete_questions"] = float((~groups.whole).sum())
    return {**{name: 100 * value for name, value in metrics.items()}, **counts}
