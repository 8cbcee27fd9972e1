"""How much two runs on the same samples differ: value, 95 % interval and a test for each metric.

The pairs are groups of samples (a prompt with its images, an image with its questions).

- Intervals: the bootstrap of groups within strata, drawing the same groups from both runs (Davison
  & Hinkley 1997, 2.4).
- Test, if each group has a single 0/1 mark: McNemar's exact test (McNemar 1947).
- Test for other means: the permutation test that swaps the two runs of a group (Good 2005, 3.2). It
  tries all swaps if there are few.
- Test for other functions of the rows: the same permutation test, calling ``summarize``.
- Metrics with replicates (FID, KID): the jackknife of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from harmon_eval.comparing.means import Groups, Mean, means, mixed
from harmon_eval.core import Interval, Summarize, Task
from harmon_eval.metrics.statistics import LEVEL, Replicates

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES, SWAPS, SLOW_RESAMPLES = 2000, 9999, 1000
TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline in one metric.

    ``error`` is the standard error. It is NaN if unknown, for example if a part has one group or
    nothing changed. The interval comes from ``scatter``, the sorted resampled differences, or from
    a t distribution with ``degrees`` of freedom. ``finest`` is the smallest p the test can give."""

    baseline: float
    candidate: float
    p: float
    test: str
    groups: int
    error: float
    scatter: np.ndarray | None = None
    degrees: int = 0
    finest: float = 0.0

    @property
    def value(self) -> float:
        return self.candidate - self.baseline

    def quantile(self, share: float) -> float:
        """The ``share`` quantile of the difference's uncertainty; NaN if that is unknown."""
        if self.scatter is not None:
            return float(np.quantile(self.scatter, share))
        if self.degrees:
            return self.value + float(stats.t.ppf(share, self.degrees)) * self.error
        return float("nan")

    @property
    def interval(self) -> Interval | None:
        low, high = self.quantile(TAIL), self.quantile(1 - TAIL)
        return (low, high) if np.isfinite(low) else None


def differences(
    task: Task,
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    wanted: frozenset[str],
    seed: int = 0,
) -> dict[str, Difference]:
    """Differences of the ``wanted`` metrics that both runs have.

    All rows must be scored and belong to the same samples, groups and strata."""
    ours, theirs = Groups.of(baseline), Groups.of(candidate)
    found: dict[str, Difference] = {}
    known = task.summarize(ours.rows), task.summarize(theirs.rows)
    wanted = frozenset(m for m in wanted if all(np.isfinite(k.get(m, np.nan)) for k in known))
    if task.replicates and wanted:
        parts = task.replicates(ours.rows), task.replicates(theirs.rows)
        for name in sorted(wanted & parts[0].keys() & parts[1].keys()):
            values = known[0][name], known[1][name]
            found[name] = by_replicates(*values, parts[0][name], parts[1][name], len(ours))
        return found
    pairs = means(ours, theirs, task.summarize, wanted, seed)
    picked = ours.resampled(np.random.default_rng(seed), RESAMPLES)
    for name in sorted(wanted & pairs.keys()):
        found[name] = of_means(*pairs[name], picked, seed)
    if others := wanted - found.keys():
        found |= _by_summarizing(ours, theirs, task.summarize, others, seed)
    return {name: found[name] for name in sorted(found)}


def of_means(ours: Mean, theirs: Mean, picked: np.ndarray, seed: int) -> Difference:
    """``picked`` (resamples, groups): groups drawn with replacement within each part."""
    own = np.concatenate(ours.parts)
    change = theirs.total - ours.total
    marks = ours.count[own].max() == 1 and bool(np.isin((ours.total, theirs.total), (0, 1)).all())
    p, test, finest = 1.0, "permutation", 2.0 ** (1 - len(own))
    if marks and len(ours.parts) == 1:
        p, test = _mcnemar(ours.total[own], theirs.total[own]), "exact McNemar"
    elif change[own].any():
        shifts = (ours.weights * change)[own]
        p = _swap(shifts[shifts != 0], seed)
    scatter, error = None, float("nan")
    # A group that is alone in its stratum is always drawn, so its spread is unknown.
    if (picked[:, own] == own).all(axis=0).any():
        return Difference(ours.value, theirs.value, p, test, len(own), error, finest=finest)
    if change[own].any():
        scatter = np.sort(theirs.of(picked) - ours.of(picked))
        error = float(scatter.std(ddof=1))
    elif _of_zeros_and_ones(ours):
        # Nothing changed. The exact (Clopper-Pearson) bound says what share of groups could have.
        reach = ours.scale * float(stats.binomtest(0, len(own)).proportion_ci(LEVEL).high)
        scatter = stats.norm.ppf((np.arange(RESAMPLES) + 0.5) / RESAMPLES) * reach / 1.96
        error = reach / 1.96
    return Difference(ours.value, theirs.value, p, test, len(own), error, scatter, finest=finest)


def _of_zeros_and_ones(mean: Mean) -> bool:
    return bool((mean.total == np.round(mean.total)).all() and (mean.total <= mean.count).all())


def _mcnemar(ours: np.ndarray, theirs: np.ndarray) -> float:
    from statsmodels.stats.contingency_tables import mcnemar

    lost, won = int(((ours == 1) & (theirs == 0)).sum()), int(((ours == 0) & (theirs == 1)).sum())
    return float(mcnemar([[0, lost], [won, 0]], exact=True).pvalue) if lost + won else 1.0


def _swap(shifts: np.ndarray, seed: int) -> float:
    """Two-sided p of the sum of ``shifts``, if each shift could equally have the opposite sign."""
    if len(shifts) < 2:
        return 1.0
    rng = np.random.default_rng(seed)
    batch = max(1, 2_000_000 // len(shifts))
    if 2 ** len(shifts) <= SWAPS:
        return float(
            stats.permutation_test(
                (shifts,),
                _sum,
                permutation_type="samples",
                vectorized=True,
                n_resamples=SWAPS,
                batch=batch,
            ).pvalue
        )

    def swapped(size: tuple[int, ...]) -> np.ndarray:
        return np.where(rng.integers(0, 2, size, dtype=np.int8), shifts, -shifts)

    done = stats.monte_carlo_test(
        shifts, swapped, _sum, vectorized=True, n_resamples=SWAPS, batch=batch
    )
    return float(done.pvalue)


def _sum(values: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(values.sum(axis=axis))


def by_replicates(
    baseline: float, candidate: float, ours: Replicates, theirs: Replicates, groups: int
) -> Difference:
    """The difference of two values, with replicates of both runs on the same parts."""
    between = theirs.less(ours)
    error, degrees = between.error, between.degrees
    value = candidate - baseline
    p = float(2 * stats.t.sf(abs(value) / error, degrees)) if error else float(value == 0)
    return Difference(baseline, candidate, p, "jackknife t", groups, error, degrees=degrees)


def _by_summarizing(
    ours: Groups, theirs: Groups, summarize: Summarize, wanted: frozenset[str], seed: int
) -> dict[str, Difference]:
    """For any function of the rows. p counts the data as one more swap (Phipson & Smyth 2010)."""
    rng = np.random.default_rng(seed)
    known = summarize(ours.rows), summarize(theirs.rows)
    scatter = [
        _less(summarize(theirs.take(p)), summarize(ours.take(p)), wanted)
        for p in ours.resampled(rng, SLOW_RESAMPLES)
    ]
    swapped = [_swapped(ours, theirs, summarize, wanted, rng) for _ in range(SLOW_RESAMPLES)]
    alone = min(np.bincount(ours.part)) < 2
    found = {}
    for name in wanted:
        value = known[1][name] - known[0][name]
        drawn = np.sort([each[name] for each in scatter if np.isfinite(each[name])])
        null = np.array([each[name] for each in swapped])
        extreme = (np.abs(null) >= abs(value) * (1 - 1e-9)) | ~np.isfinite(null)
        p = (1 + int(extreme.sum())) / (1 + len(null))
        # If no resample shows a change, the spread is unknown, not zero.
        spread = None if alone or len(drawn) < 2 or not np.any(drawn) else drawn
        found[name] = Difference(
            known[0][name],
            known[1][name],
            p,
            "permutation",
            len(ours),
            float("nan") if spread is None else float(spread.std(ddof=1)),
            spread,
            finest=2.0 ** (1 - len(ours)),
        )
    return found


def _less(
    candidate: Mapping[str, float], baseline: Mapping[str, float], wanted: frozenset[str]
) -> dict[str, float]:
    nan = float("nan")
    return {name: candidate.get(name, nan) - baseline.get(name, nan) for name in wanted}


def _swapped(
    ours: Groups,
    theirs: Groups,
    summarize: Summarize,
    wanted: frozenset[str],
    rng: np.random.Generator,
) -> dict[str, float]:
    """The difference after a coin flip for each group has decided whether to swap its two runs."""
    swap = rng.random(len(ours)) < 0.5
    return _less(summarize(mixed(theirs, ours, swap)), summarize(mixed(ours, theirs, swap)), wanted)
