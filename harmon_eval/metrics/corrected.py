"""A judge's mean, corrected by some people's marks, with an interval that covers people's mean.

Prediction-powered inference (Angelopoulos et al. 2023, arXiv 2301.09633; tuned: arXiv 2311.01453)
for any bounded mark, and Rogan and Gladen (1978) with the interval of Lang and Reiczigel (2014) for
single right-or-wrong marks. Both need that the samples which people marked were chosen at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from harmon_eval.core import Interval, UserError

LEVEL = 0.95


@dataclass(frozen=True)
class Corrected:
    """``weight`` is lambda, the judge's share; ``n`` samples have people's marks, ``others`` only
    the judge's."""

    value: float
    interval: Interval
    weight: float
    n: int
    others: int


def prediction_powered(
    human: Sequence[float],
    judge: Sequence[float],
    judge_alone: Sequence[float],
    weight: float | None = None,
    clusters: Sequence[object] | None = None,
    clusters_alone: Sequence[object] | None = None,
) -> Corrected:
    """Mean of people's marks over all samples, from ``human`` and ``judge`` of the same samples and
    ``judge_alone`` of the others.

    ``weight`` None is tuned; 1 is the plain estimate, 0 the human mean alone. Without
    ``clusters``, the interval is that of ppi_py: normal, with divisors n. ``clusters`` label
    samples that hang together (a prompt's images). Then the error is that of the G clusters with
    divisor G - 2, and the quantile is of t with G - 2 degrees of freedom, because a mean and a
    weight are fitted to them. Raises UserError for fewer than two marks or clusters."""
    y, h, rest = (np.asarray(marks, np.float64) for marks in (human, judge, judge_alone))
    if len(y) != len(h):
        raise UserError(f"{len(y)} human marks do not fit {len(h)} marks of the judge")
    if len(y) < 2:
        raise UserError("a correction needs at least two human marks")
    n, others = len(y), len(rest)
    lam = _tuned(y, h, rest) if weight is None else weight
    if not others:
        lam = 0.0 if weight is None else weight
        rest = h[:0]
    shift = float(rest.mean()) if others else float(h.mean())
    value = lam * shift + float((y - lam * h).mean())
    variance = _variance_of_mean(y - lam * h, clusters)
    if others and lam:
        variance += lam**2 * _variance_of_mean(rest, clusters_alone)
    quantile = float(special.ndtri((1 + LEVEL) / 2))
    if clusters is not None:
        if (count := len({*clusters})) < 3:
            raise UserError("a correction needs human marks of at least three prompts")
        quantile = float(special.stdtrit(count - 2, (1 + LEVEL) / 2)) * np.sqrt(count / (count - 2))
    reach = float(quantile * np.sqrt(variance))
    if clusters is not None and not np.ptp(y - lam * h):
        # No spread was seen: the exact bound on the share of clusters that could differ.
        reach = float(np.hypot(reach, 1 - ((1 - LEVEL) / 2) ** (1 / len({*clusters}))))
    return Corrected(value, (value - reach, value + reach), lam, n, others)


def _tuned(y: np.ndarray, h: np.ndarray, rest: np.ndarray) -> float:
    """The weight with the least variance, in 0 ... 1 (divisors as ppi_py has them)."""
    every = np.concatenate([h, rest])
    if not len(rest) or not (spread := float(every.var(ddof=1))):
        return 0.0
    together = float(((y - y.mean()) * (h - h.mean())).mean())
    return float(np.clip(together / ((1 + len(h) / len(rest)) * spread), 0.0, 1.0))


def _variance_of_mean(marks: np.ndarray, clusters: Sequence[object] | None) -> float:
    """Divisor n, as in ppi_py; with clusters, of their sums."""
    deviations = marks - marks.mean()
    if clusters is not None:
        _, codes = np.unique(np.asarray(list(map(str, clusters))), return_inverse=True)
        deviations = np.bincount(codes, weights=deviations)
    return float(np.square(deviations).sum() / len(marks) ** 2)


def right_or_wrong(
    human: Sequence[float],
    judge: Sequence[float],
    judge_alone: Sequence[float],
    clusters: Sequence[object],
) -> Corrected:
    """``prediction_powered`` for marks of 0 and 1, with an interval that also covers near 0 and 1.

    There, 60 marks hold a handful of errors, and a symmetric interval is too short on one side. So
    people's share of right marks gets Wilson's interval among the samples that the judge calls
    right and among the others. Their mean, weighted by how often the judge says so, gets its limits
    by MOVER (Zou and Donner 2008; Newcombe 1998). Where several samples share a cluster, n counts
    clusters. Raises UserError as ``prediction_powered`` does."""
    found = prediction_powered(human, judge, judge_alone, None, clusters)
    y, h = np.asarray(human, np.float64), np.asarray(judge, np.float64)
    share = float(np.concatenate([h, np.asarray(judge_alone, np.float64)]).mean())
    units = len({*clusters}) / len(y)
    below = above = 0.0
    for value, weight in ((1.0, share), (0.0, 1 - share)):
        own = y[h == value]
        right, n = float(own.sum()) * units, len(own) * units
        low, high = _wilson(right, n)
        middle = right / n if n else 0.5
        below += (weight * (middle - low)) ** 2
        above += (weight * (high - middle)) ** 2
    # Of few marks, the estimate can lie beyond the scale, where its interval would be empty.
    value = float(np.clip(found.value, 0, 1))
    low, high = value - float(np.sqrt(below)), value + float(np.sqrt(above))
    return replace(found, value=value, interval=(max(0.0, low), min(1.0, high)))


def _wilson(right: float, n: float) -> Interval:
    z = float(special.ndtri((1 + LEVEL) / 2))
    centre = (right + z * z / 2) / (n + z * z)
    share = right * (n - right) / n if n else 0.0
    reach = z / (n + z * z) * float(np.sqrt(share + z * z / 4))
    return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True)
class RoganGladen:
    """``value`` and ``interval`` are cut to 0 ... 1; ``uncut`` is the point before, to be told."""

    value: float
    uncut: float
    interval: Interval


def rogan_gladen(
    apparent: float,
    n: int,
    sensitivity: float,
    positives: int,
    specificity: float,
    negatives: int,
) -> RoganGladen:
    """Share that is truly right, from the ``apparent`` share of ``n`` marks by a judge.

    Its sensitivity and specificity come from ``positives`` and ``negatives`` that people marked.
    The marks must be independent. Raises UserError for a judge no better than chance."""
    if sensitivity + specificity <= 1:
        raise UserError(
            f"sensitivity {sensitivity:.3f} + specificity {specificity:.3f} is not above 1: this "
            "judge's marks say nothing about people's"
        )
    if min(n, positives, negatives) < 1:
        raise UserError("Rogan and Gladen's correction needs marks of both kinds")
    uncut = (apparent + specificity - 1) / (sensitivity + specificity - 1)
    z = float(special.ndtri((1 + LEVEL) / 2))
    se = (positives * sensitivity + 1) / (positives + 2)
    sp = (negatives * specificity + 1) / (negatives + 2)
    q = (n * apparent + z * z / 2) / (n + z * z)
    slope = se + sp - 1
    theta = (q + sp - 1) / slope
    of_se, of_sp = se * (1 - se) / (positives + 2), sp * (1 - sp) / (negatives + 2)
    centre = theta + 2 * z * z * (theta * of_se - (1 - theta) * of_sp)
    variance = q * (1 - q) / (n + z * z) + theta**2 * of_se + (1 - theta) ** 2 * of_sp
    reach = z * float(np.sqrt(variance)) / slope
    low, high = (float(np.clip(end, 0, 1)) for end in (centre - reach, centre + reach))
    return RoganGladen(float(np.clip(uncut, 0, 1)), uncut, (low, high))
