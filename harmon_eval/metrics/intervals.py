"""Intervals and counts of a task's metrics, following the task's metric declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from harmon_eval.core import Count, Interval, Metric, Task, UserError
from harmon_eval.metrics.statistics import RESAMPLES, bootstrap_intervals

if TYPE_CHECKING:
    import pandas as pd


def intervals(task: Task, rows: pd.DataFrame, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """95 % intervals of a task's metrics over its scored rows.

    Uses ``Task.intervals`` if the task defines it, otherwise the cluster bootstrap. The bootstrap
    runs on metrics divided by their maximum, because it treats 0 and 1 as the ends of the scale.
    Raises UserError for a metric that the task returns but does not declare."""
    if task.intervals is not None:
        return task.intervals(rows, task.summarize)
    known = _Known(task)

    def shares(rows: pd.DataFrame) -> dict[str, float]:
        return {
            name: value / known.top(name)
            for name, value in task.summarize(rows).items()
            if known[name].interval
        }

    found = bootstrap_intervals(lean(task, rows), shares, resamples)
    tops = {name: known.top(name) for name in found}
    return {name: (low * tops[name], high * tops[name]) for name, (low, high) in found.items()}


def lean(task: Task, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with only the columns that ``summarize`` reads, so that no text is resampled."""
    if task.columns == ("*",):
        return rows
    wanted = [".*".join(map(re.escape, column.split("*"))) for column in task.columns]
    kept = [c for c in rows if c in ("group", "stratum") or _any(wanted, str(c))]
    return rows[kept]


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def counts(task: Task, rows: pd.DataFrame, metrics: Mapping[str, float]) -> dict[str, Count]:
    """How many scored rows, and how many groups, each metric counts."""
    known = _Known(task)
    every = Count(len(rows), int(rows["group"].nunique()) if len(rows) else 0)
    found = {}
    for name in metrics:
        if (which := known[name].rows) is None:
            found[name] = every
        else:
            own = rows["group"][which(rows, name).astype(bool)]
            found[name] = Count(len(own), int(own.nunique()))
    return found


class _Known(dict[str, Metric]):
    """The declaration behind each metric name, looked up once."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __missing__(self, name: str) -> Metric:
        try:
            self[name] = self.task.metric(name)
        except KeyError:
            raise UserError(
                f"the task returns the metric {name!r}, which its `metrics` do not declare"
            ) from None
        return self[name]

    def top(self, name: str) -> float:
        return self[name].maximum or 1.0
