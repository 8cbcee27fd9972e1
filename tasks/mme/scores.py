"""What MME's metrics are: which subtasks they count, and the points of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harmon_eval.core import Metric, count
from harmon_eval.metrics.rows import before, having, of
from harmon_eval.metrics.shares import bracketed, evenly, groups_with, of_groups, share
from harmon_eval.tasks.mme.files import COGNITION, PERCEPTION, SUBTASKS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PERCEIVED, THOUGHT = having("subtask", *PERCEPTION), having("subtask", *COGNITION)


def points(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Points of each image: the mean of its share of right replies and of both being right.

    Each subtask weighs the same. A rule stands in brackets."""
    right = rows[bracketed(name) or "correct"].astype(float)
    shares = right.groupby(rows["group"], sort=False).mean().to_numpy()
    return evenly(*of_groups(rows, (shares + (shares == 1)) / 2), rows["subtask"])


METRICS = (
    Metric("perception", maximum=2000.0, rows=PERCEIVED, of=points, headline=True),
    Metric("perception[*]", maximum=2000.0, rows=PERCEIVED, of=points),
    Metric("cognition", maximum=800.0, rows=THOUGHT, of=points),
    Metric("cognition[*]", maximum=800.0, rows=THOUGHT, of=points),
    *(Metric(name, maximum=200.0, rows=of("subtask"), of=points) for name in SUBTASKS),
    Metric("*_accuracy", maximum=100.0, rows=before("_accuracy", "subtask"), of=share("correct")),
    Metric(
        "*_accuracy_plus",
        maximum=100.0,
        rows=before("_accuracy_plus", "subtask"),
        of=groups_with("correct", "all"),
    ),
    count("other"),
    count("at_50"),
)
