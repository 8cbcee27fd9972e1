"""The jackknife, for smooth functions of moments such as FID."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Interval

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95


@dataclass(frozen=True)
class Replicates:
    """Values of a metric on parts of the samples. Their spread gives its standard error.

    The variance is ``scale`` times the sum of squared deviations, with ``degrees`` of freedom.
    Two runs on the same samples have the same parts, so their replicates can be paired."""

    values: np.ndarray
    scale: float
    degrees: int

    @classmethod
    def without_groups(cls, leave_out: Sequence[float]) -> Replicates:
        """Delete-a-group jackknife (Shao & Tu 1995, section 2.3): each group left out in turn.

        Raises ValueError for fewer than two values."""
        if (count := len(leave_out)) < 2:
            raise ValueError("the jackknife needs at least two groups to leave out")
        return cls(np.asarray(leave_out, np.float64), (count - 1) / count, count - 1)

    @property
    def error(self) -> float:
        deviations = self.values - self.values.mean()
        return float(np.sqrt(self.scale * np.square(deviations).sum()))

    def less(self, other: Replicates) -> Replicates:
        """Replicates of the difference, part by part."""
        return Replicates(self.values - other.values, self.scale, self.degrees)


def jackknife_interval(value: float, leave_out: Sequence[float], other: float = 0.0) -> Interval:
    """95 % t interval from the values with one group of samples left out at a time.

    Delete-a-group jackknife (Shao & Tu 1995, section 2.3): variance (g-1)/g * sum of squared
    deviations, with g - 1 degrees of freedom. It suits smooth functions of moments, such as FID,
    where resampling with replacement would add its own bias. ``other``: standard error from another
    source, to be added. Raises ValueError for fewer than two values."""
    from scipy import special

    parts = Replicates.without_groups(leave_out)
    quantile = special.stdtrit(parts.degrees, (1 + LEVEL) / 2)
    reach = float(quantile * np.hypot(parts.error, other))
    return value - reach, value + reach


def rate_interval(rate: float, left_out: Sequence[float], telling: int) -> Interval | None:
    """95 % interval of a rate that has no upper limit, such as errors an image, from the rates with
    one group of samples left out at a time.

    Gamma limits (Fay & Feuer 1997): those of a Poisson count with the rate's relative error, so
    that few errors give a long end upwards. How much groups differ is known from the ``telling``
    ones, which hold any error: t instead of normal quantiles. None without an error, or for fewer
    than two groups."""
    from scipy import special

    if len(left_out) < 2 or rate <= 0:
        return None
    parts = Replicates.without_groups(left_out)
    if not parts.error:
        return None
    high = (1 + LEVEL) / 2
    degrees = max(min(telling, parts.degrees), 1)
    longer = float(special.stdtrit(degrees, high) / special.ndtri(high))
    count = (rate / (longer * parts.error)) ** 2
    ends = special.gammaincinv((count, count + 1), (1 - high, high)) * rate / count
    return float(ends[0]), float(ends[1])


def mean_interval(
    values: np.ndarray, groups: np.ndarray, top: float | None, bottom: float = -1.0
) -> Interval | None:
    """95 % interval of the mean of ``values`` (n,), of which those of one of the ``groups`` (n,)
    hang together. They have no common range, or go from ``bottom`` to ``top``, and may be far from
    normal.

    Gamma limits of the distance from the nearer end: values crowd there and have a long tail."""
    _, codes = np.unique(groups, return_inverse=True)
    whole = float(values.mean())
    below = top is not None and (values.min() < 0 or whole > top / 2)
    if not below and values.min() < 0:
        return None
    rates = float(top or 0) - values if below else values
    sums, sizes = np.bincount(codes, weights=rates), np.bincount(codes)
    if len(sums) < 2:
        return None
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    # How many groups the sum is spread over: few, if most of it lies in the tail (Kish 1965).
    carrying = round(float(sums.sum() ** 2 / (sums**2).sum())) if sums.any() else 0
    span = rate_interval(float(rates.mean()), left_out.tolist(), carrying)
    if span is None or top is None:
        return span
    low, high = (top - span[1], top - span[0]) if below else span
    return max(low, bottom), min(high, top)  # gamma limits know one end of the range only


def mean_span(
    column: str, top: float | None = 1.0, counted: str = "", bottom: float = -1.0
) -> Callable[[pd.DataFrame, str], Interval | None]:
    """``Metric.span`` of the mean of ``column`` where it is known, in the rows whose column
    ``counted`` is true (``mean_interval``). Cosines and SSIM go from -1 to 1, distances from 0."""

    def found(rows: pd.DataFrame, name: str) -> Interval | None:
        own = rows[rows[counted].astype(bool)] if counted else rows
        own = own[own[column].notna()]
        values = own[column].to_numpy(np.float64)
        return mean_interval(values, own["group"].to_numpy(str), top, bottom) if len(own) else None

    return found
