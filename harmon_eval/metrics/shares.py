"""What a metric is a share of: the helpers for ``Metric.of`` and ``Metric.mean_of``.

A share is a sum of marks over a sum of weights. Each helper returns both for every row; rows that a
metric does not count get the weight 0 afterwards (``Metric.rows``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Share = Callable[["pd.DataFrame", str], tuple["np.ndarray", "np.ndarray"]]
Mask = Callable[["pd.DataFrame", str], "pd.Series"]
Weights = Callable[[Collection[str], str], Mapping[str, float]]


def share(column: str, maximum: float = 1.0) -> Share:
    """The mean of ``column``, whose values go from 0 to ``maximum``."""
    return lambda rows, name: (
        rows[column].to_numpy(np.float64) / maximum,
        np.ones(len(rows)),
    )


def bracketed(name: str) -> str:
    """``rule`` of ``metric[rule]``; empty without brackets."""
    return name.partition("[")[2].removesuffix("]")


def by_rule(
    made: Mapping[str, Callable[[pd.DataFrame], np.ndarray]] = MappingProxyType({}),
) -> Share:
    """The mean of the column that the metric names in brackets, or of the marks (rows,) that are
    ``made`` for that name."""

    def found(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
        rule = bracketed(name)
        marks = made[rule](rows) if rule in made else rows[rule].to_numpy(np.float64)
        return marks, np.ones(len(rows))

    return found


def groups_with(column: str, which: Literal["any", "all"]) -> Share:
    """The share of groups of which any row, or all rows, are right."""

    def found(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
        groups = rows[column].astype(bool).groupby(rows["group"], sort=False)
        return of_groups(rows, (groups.any() if which == "any" else groups.all()).to_numpy(float))

    return found


def of_groups(rows: pd.DataFrame, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of ``values`` (groups,) from 0 to 1, in the order of the groups' first rows.

    A group is one mark, which its first row holds. Groups whose value is NaN do not count."""
    first = ~rows["group"].duplicated().to_numpy()
    marks, weights = np.zeros(len(rows)), np.zeros(len(rows))
    known = np.isfinite(values)
    marks[first] = np.where(known, values, 0.0)
    weights[first] = known
    return marks, weights


def group_means(column: str, maximum: float = 1.0) -> Share:
    """The mean over groups of the mean of ``column``, whose values go from 0 to ``maximum``."""

    def found(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
        marks = rows[column].to_numpy(np.float64) / maximum
        known = np.isfinite(marks)
        codes, names = rows["group"].factorize()
        size = np.bincount(codes, weights=known, minlength=len(names))[codes]
        weights = np.divide(known, size, out=np.zeros(len(rows)), where=known)
        return np.where(known, marks, 0.0) * weights, weights

    return found


def evenly(
    marks: np.ndarray, weights: np.ndarray, kinds: np.ndarray | pd.Series
) -> tuple[np.ndarray, np.ndarray]:
    """The same marks with each of the ``kinds`` (rows,) weighing the same."""
    _, codes = np.unique(np.asarray(kinds).astype(str), return_inverse=True)
    size = np.bincount(codes, weights=weights)[codes]
    scale = np.divide(1.0, size, out=np.zeros(len(size)), where=size > 0)
    return marks * scale, weights * scale


def mean_over(column: str, kinds: str, keep: Mask, maximum: float = 1.0) -> Share:
    """The unweighted mean over ``kinds`` (a column) of the mean of ``column``, in the rows that
    ``keep`` selects."""
    own = share(column, maximum)

    def found(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
        kept = keep(rows, name).to_numpy(float)
        marks, weights = own(rows, name)
        return evenly(marks * kept, weights * kept, rows[kinds])

    return found


def mean_of(names: Iterable[str], scale: float = 1.0) -> Weights:
    """``scale`` times the unweighted mean of those of the ``names`` that there are."""
    wanted = tuple(names)

    def weights(present: Collection[str], name: str) -> dict[str, float]:
        own = [part for part in wanted if part in present]
        return {part: scale / len(own) for part in own}

    return weights


def sum_of(names: Iterable[str]) -> Weights:
    """The sum of all the ``names``."""
    wanted = tuple(names)
    return lambda present, name: dict.fromkeys(wanted, 1.0)
