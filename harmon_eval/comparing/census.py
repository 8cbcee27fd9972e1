"""Strata that hold every prompt there is, such as GenEval's single objects.

No other prompt could have been chosen there, so the drawings are the sample: each is a group of its
own. Given the prompts they are independent, as each has its own noise; that their prompts differ in
difficulty only makes a bound for equal chances wider than it needs to be (Hoeffding 1956). This
holds for metrics that count drawings. Where one counts prompts ("any of four images is right"), a
prompt stays a group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Task
from harmon_eval.metrics.groups import numbered
from harmon_eval.metrics.intervals import Table

if TYPE_CHECKING:
    import pandas as pd


def by_drawing(rows: pd.DataFrame, strata: Collection[str]) -> pd.DataFrame:
    """Rows sorted by group, with each drawing of these ``strata`` as a group of its own."""
    own = rows["stratum"].astype(str).isin(list(strata)).to_numpy()
    codes = numbered(rows["group"])
    first = np.append(True, codes[1:] != codes[:-1])[: len(codes)]
    return rows.assign(group=np.cumsum(own | first, dtype=np.int32) - 1)


def of_drawings(
    task: Task,
    rows: pd.DataFrame,
    drawings: pd.DataFrame,
    strata: Collection[str],
    names: Iterable[str],
) -> dict[str, int | None]:
    """The metrics that count the same in ``rows`` as in ``drawings`` (``by_drawing`` of them), as
    far as they are declared as shares or as means of shares.

    With each the number of prompts that it counts; None if all of them are in the ``strata``."""
    before, after = Table(task, rows, None), Table(task, drawings, None)
    outside = ~before.in_strata(strata)
    found: dict[str, int | None] = {}
    for name in names:
        shares = before.shares(name) if name in before.values else None
        if shares is not None and _same(before, after, name):
            mixed = bool(shares[outside].any())
            found[name] = int(np.count_nonzero(shares)) if mixed else None
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
