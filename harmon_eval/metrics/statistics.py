"""Intervals: the cluster bootstrap for scores, the jackknife for smooth functions of moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Interval, Summarize

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
RESAMPLES = 1000


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


def bootstrap_intervals(
    rows: pd.DataFrame, summarize: Summarize, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """95 % percentile intervals of every metric, resampling groups within their stratum.

    Samples of one group (the images of a prompt, the questions about an image) are correlated, so
    whole groups are drawn with replacement. Strata keep the sizes that the benchmark fixes. A
    proportion of exactly 0 or 1 has no spread to resample, so it gets the exact (Clopper-Pearson)
    interval over its groups instead, as if each group were one trial. A metric gets no interval
    if it uses a stratum with a single group. It also gets none if it is not 0 or 1 and yet no
    resample changes it, for example a mean over strata that are each unanimous: then its spread is
    unknown, not zero. The order of rows does not matter.
    Source: Davison & Hinkley 1997, sections 2.4 and 3.2.
    """
    value = summarize(rows)
    rows = rows.sort_values("group", kind="stable", ignore_index=True)
    codes, names = rows["group"].factorize()
    starts = np.searchsorted(codes, np.arange(len(names) + 1))
    stratum_of = rows["stratum"].to_numpy()[starts[:-1]]
    strata = {str(s): np.flatnonzero(stratum_of == s) for s in sorted(set(stratum_of))}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in value}
    for _ in range(resamples):
        picked = np.concatenate([rng.choice(groups, len(groups)) for groups in strata.values()])
        lengths = starts[picked + 1] - starts[picked]
        ends = np.cumsum(lengths)
        index = np.arange(ends[-1]) + np.repeat(starts[picked] - (ends - lengths), lengths)
        # A group drawn twice counts as two groups.
        resample = rows.take(index).assign(group=np.repeat(np.arange(len(picked)), lengths))
        for name, number in summarize(resample).items():
            drawn.setdefault(name, []).append(number)
    sizes = [len(groups) for groups in strata.values()]
    found = {}
    for name in value:
        own = [len(strata[name])] if name in strata else sizes
        if interval := _interval(value[name], drawn[name], own):
            found[name] = interval
    return found


def _interval(value: float, drawn: Sequence[float], sizes: Sequence[int]) -> Interval | None:
    """``sizes``: the number of groups in each stratum that the metric uses."""
    known = np.asarray(drawn, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not (len(known) and np.isfinite(value)):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if low == high and value in (0.0, 1.0):
        from scipy.stats import binomtest

        groups = sum(sizes)
        exact = binomtest(round(value * groups), groups).proportion_ci(LEVEL, "exact")
        return float(exact.low), float(exact.high)
    return (float(low), float(high)) if low < high and min(sizes) > 1 else None


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
