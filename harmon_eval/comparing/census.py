"""Strata whose prompts are all there are, such as GenEval's single objects.

No other prompt could have been chosen there, so it is the drawings that are a sample: each is a
group of its own. This holds for metrics that count drawings; where one counts prompts ("any of
four images is right"), a prompt stays a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Task
from harmon_eval.metrics.intervals import Table

if TYPE_CHECKING:
    import pandas as pd


def apart(task: Task, runs: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The rows of all runs, with each drawing of such a stratum as a group of its own."""
    return [_apart(task, rows) for rows in runs]


def _apart(task: Task, rows: pd.DataFrame) -> pd.DataFrame:
    own = rows["stratum"].astype(str).isin(task.census)
    group = rows["group"].astype(str)
    return rows.assign(group=group.mask(own, group + "\0" + rows["id"].astype(str)))


def of_drawings(
    task: Task, rows: pd.DataFrame, drawings: pd.DataFrame, names: Iterable[str]
) -> dict[str, int]:
    """The metrics that count the same in ``rows`` as in ``drawings`` (``apart`` of them), as far as
    they are declared as shares or as means of shares, with the number of prompts each counts."""
    before, after = Table(task, rows, None), Table(task, drawings, None)
    found = {}
    for name in names:
        shares = before.shares(name) if name in before.values else None
        if shares is not None and _same(before, after, name):
            found[name] = int(np.count_nonzero(shares))
    return found


def _same(before: Table, after: Table, name: str) -> bool:
    metric = before.known[name]
    if metric.mean_of is not None:
        parts = metric.mean_of(before.values, name)
        return all(_same(before, after, own) for own in parts)
    if metric.of is None:
        return False
    here, there = metric.of(before.rows, name), metric.of(after.rows, name)
    return all(map(np.array_equal, here, there))
