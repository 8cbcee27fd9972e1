"""Wilson intervals for means of marks in clusters and strata.

The interval of a share p with a standard error s is Wilson's (1927) for n = p(1 - p) / s^2
independent 0/1 marks: the design-effect sample size (Kish 1965; Korn & Graubard 1998). Close to 0
and 1, where it covers too seldom, an end is moved out to the Poisson limit (Brown, Cai & DasGupta
2001, section 4.1.1); at 0 and 1 of very few marks, to the exact one-sided limit. The standard error
adds up over strata and parts; these things keep it honest where there are few groups:

- The design effect is estimated over all cells of a metric together, with one more group at the
  middle of its range. Where all marks of a cell agree, its own says nothing.
- For other seeds only, the design effect is that of drawings of one prompt, shrunk to independent
  marks: a prompt that is wrong four times of four, while all others are right, may be right the
  fifth time.
- The variance p(1 - p) of a cell is that of its marks and of one more mark at the mean of all,
  times what it is too small by on average if it is that of few marks.
- Where marks lie between right and wrong, groups tell as much as they hold of the rarer kind: ten
  marks of 0 and 1/4 look alike, but where full marks are possible they say little about the spread.
- Parts on the same groups (the splits of POPE) are as correlated as their groups' residuals show;
  where all marks agree, as much as they share groups.

``python -m benchmarks.coverage`` shows how often these intervals hold the true value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harmon_eval.core import Interval

LEVEL = 0.95
SMALL, RARE_OF_FEW, RARE = 50, 2, 6  # marks of the rarer kind up to which the limit is Poisson's
PRIOR = 0.5  # where between independent marks and one mark a group the prior design effect lies
SEED_PRIOR = 2.0  # of how many degrees the prior is that drawings of a prompt are independent
MARK = 1.0  # how many marks at the mean of all a cell's variance is smoothed by


@dataclass(frozen=True)
class Part:
    """A share as the sum over cells (strata) of ``weight`` times the share of a cell.

    All arrays but the last two are (cells,). ``independent`` is the effective number of marks if
    they were independent, ``alone`` if those of a group were all equal. ``telling`` groups show how
    much groups differ: those that hold the rarer kind of mark, at most one less than all; a mark
    in between counts as a part of a group.
    ``variance`` is that of the cell's share, NaN for a single group; ``seeds`` the part of it that
    comes from drawing the same prompts again, NaN where nothing tells, estimated with ``repeats``
    degrees of freedom. ``census``: the cell's groups are all there is. ``floor`` is the smallest
    design effect. ``residuals`` and ``sizes`` are (groups,)."""

    value: float
    weight: np.ndarray
    share: np.ndarray
    independent: np.ndarray
    alone: np.ndarray
    telling: np.ndarray
    variance: np.ndarray
    seeds: np.ndarray
    repeats: np.ndarray
    census: np.ndarray
    floor: float
    residuals: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class Marks:
    """Sums over groups of the rows: ``marks``, ``weights``, ``squares`` of weights, all (groups,).

    ``stratum`` (groups,) int; ``census`` (groups,) bool: of strata that hold all there is.
    ``binary``: every row is right or wrong. ``fixed``: the weights are part of the design.
    ``scatter`` (groups,) is the variance of the sum between drawings of the same prompt, NaN where
    it is unknown, with ``repeats`` (groups,) degrees of freedom."""

    marks: np.ndarray
    weights: np.ndarray
    squares: np.ndarray
    stratum: np.ndarray
    binary: bool
    fixed: bool
    scatter: np.ndarray
    repeats: np.ndarray
    census: np.ndarray

    def _kinds(self, marks: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far each group holds either kind of mark: right, wrong. A mark in between, such as a
        quarter, holds as much of both."""
        if self.binary:
            return (marks > 0).astype(float), (marks < weights).astype(float)
        return marks / weights, 1 - marks / weights

    def part(self) -> Part:
        """The share of all marks. It is split by stratum if the weights are part of the design."""
        known = self.weights > 0
        codes = np.zeros(known.sum(), dtype=int)
        if self.fixed:
            _, codes = np.unique(self.stratum[known], return_inverse=True)
        marks, weights = self.marks[known], self.weights[known]

        def total(values: np.ndarray) -> np.ndarray:
            return np.bincount(codes, weights=values)

        size, groups = total(weights), np.bincount(codes)
        share = total(marks) / size
        own = marks - share[codes] * weights
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(groups > 1, groups / (groups - 1) * total(own**2) / size**2, np.nan)
        residuals, sizes = np.zeros(len(known)), np.zeros(len(known))
        residuals[known], sizes[known] = own / weights.sum(), weights / weights.sum()
        return Part(
            value=float(marks.sum() / weights.sum()),
            weight=size / size.sum(),
            share=share,
            independent=size**2 / total(self.squares[known]),
            alone=size**2 / total(weights**2),
            telling=np.minimum(np.minimum(*map(total, self._kinds(marks, weights))), groups - 1),
            variance=variance,
            seeds=total(self.scatter[known]) / size**2,
            repeats=total(self.repeats[known]),
            census=total(self.census[known]) == groups,
            floor=1.0 if self.binary and self.fixed else 0.0,
            residuals=residuals,
            sizes=sizes,
        )


def score_interval(value: float, n: float) -> Interval:
    """Wilson's score interval (1927) of a share of ``n`` marks."""
    from scipy import special  # here and below, so that listing the tasks does not wait for scipy

    z = float(special.ndtri((1 + LEVEL) / 2))
    shrink = 1 + z**2 / n
    centre = (value + z**2 / (2 * n)) / shrink
    reach = z * math.sqrt(value * (1 - value) / n + z**2 / (4 * n**2)) / shrink
    return centre - reach, centre + reach


def wilson(value: float, n: float) -> Interval:
    """The modified Wilson interval of a share of ``n`` effective marks."""
    from scipy import special

    value = min(max(value, 0.0), 1.0)
    low, high = score_interval(value, n)
    # One-sided at the whole error rate, as the other end cannot be missed.
    rare = min(value, 1 - value) * n
    if 0 < rare <= (RARE if n > SMALL else RARE_OF_FEW):
        limit = float(special.gammaincinv(rare, 1 - LEVEL)) / n  # half a chi-square quantile
        low, high = (min(low, limit), high) if value < 0.5 else (low, max(high, 1 - limit))
    exact = (1 - LEVEL) ** (1 / n)
    if value in (0.0, 1.0):
        return (0.0, max(high, 1 - exact)) if value == 0 else (min(low, exact), 1.0)
    return low, high


def size(parts: Sequence[Part], weights: Sequence[float], seeds: bool = False) -> float | None:
    """The effective sample size of the weighted mean of ``parts``, if the ``weights`` add up to 1.

    With ``seeds``: if the prompts were the same and only the seeds were others; None if nothing
    tells, because no prompt was drawn more than once."""
    scaled = [replace(p, weight=w * p.weight) for p, w in zip(parts, weights, strict=True)]
    value = sum(w * p.value for p, w in zip(parts, weights, strict=True))
    again = _design_effect(scaled, seeds=True)
    whole = _design_effect(scaled, seeds=False)
    sizes = []
    for part in scaled:
        drawn = _seed_sizes(part, *again)
        if seeds and np.isnan(drawn).any():
            return None
        n = np.where(part.census & np.isfinite(drawn), drawn, _cell_sizes(part, *whole))
        sizes.append(drawn if seeds else n)
    every = sum(float((p.weight**2 / n).sum()) for p, n in zip(scaled, sizes, strict=True))
    errors = [
        part.weight**2 * _spread(part.share, n, value, part.weight, every) / n
        for part, n in zip(scaled, sizes, strict=True)
    ]
    return _ratio(value, errors, scaled, seeds)


def _design_effect(parts: Sequence[Part], seeds: bool) -> tuple[float, float]:
    """The common design effect of all cells that show one, and its degrees of freedom."""
    seen = expected = free = 0.0
    for part in parts:
        variance = part.seeds if seeds else part.variance
        degrees = part.telling
        if seeds:  # of k drawings k - 1 tell; where all agree, they may not always do so
            degrees = part.telling * part.repeats / part.independent
        own = np.isfinite(variance) & (part.share > 0) & (part.share < 1)
        scale = part.weight[own] ** 2
        seen += float((scale * variance[own]).sum())
        plain = part.share[own] * (1 - part.share[own]) / part.independent[own]
        expected += float((scale * plain).sum())
        free += float(degrees[own].sum())
    return (seen / expected, free) if expected else (1.0, 0.0)


def _cell_sizes(part: Part, effect: float, free: float) -> np.ndarray:
    """The effective sample size of each cell."""
    most = part.independent / part.alone
    if not free:
        return part.alone
    shrunk = (free * max(effect, part.floor) + 1 + PRIOR * (most - 1)) / (free + 1)
    return part.independent / (np.minimum(shrunk, most) if part.floor else shrunk)


def _seed_sizes(part: Part, effect: float, free: float) -> np.ndarray:
    """The same if only the seeds were others; NaN where nothing tells."""
    shrunk = (free * effect + SEED_PRIOR) / (free + SEED_PRIOR)
    sizes = part.independent / shrunk
    return np.where(np.isfinite(part.seeds) & (part.repeats > 0), sizes, np.nan)


def _spread_of(value: np.ndarray | float) -> np.ndarray:
    """p(1 - p), or 1 where it is 0 and cancels."""
    found = np.asarray(value) * (1 - np.asarray(value))
    return np.where(found > 1e-12, found, 1.0)


def _spread(
    share: np.ndarray, n: np.ndarray, value: float, weight: np.ndarray, every: float
) -> np.ndarray:
    """The variance of a mark in each cell. ``every`` is the variance of ``value`` in units of it.

    p(1 - p) of a share of few marks is too small on average; the factor makes it right where all
    cells have the same share. A single cell is left to Wilson's interval."""
    if not 1e-12 < value < 1 - 1e-12:
        return np.ones_like(share)
    smooth = (share * n + value * MARK) / (n + MARK)
    apart = np.maximum((1 - 2 * weight) / n + every, 0.0) * (n / (n + MARK)) ** 2
    whole = max(1 - every, 0.5)
    return np.asarray(smooth * (1 - smooth) * whole / np.maximum(whole - apart, 0.25))


def _ratio(value: float, errors: Sequence[np.ndarray], parts: Sequence[Part], seeds: bool) -> float:
    """p(1 - p) over the variance of the sum, with the correlations of parts that share groups.

    Seeds differ between parts, so they add no correlation."""
    each = np.sqrt([float(error.sum()) for error in errors])
    every = float((each**2).sum())
    if len(parts) > 1 and not seeds:
        off = _correlations(parts) - np.eye(len(parts))
        every = max(every + float(each @ off @ each), every / len(parts))
    return float(_spread_of(value)) / every


def _correlations(parts: Sequence[Part]) -> np.ndarray:
    """(parts, parts): of the sums over the groups that they share."""
    residuals = np.stack([part.residuals for part in parts])
    sizes = np.stack([part.sizes for part in parts])

    def normed(values: np.ndarray) -> np.ndarray:
        length = np.sqrt((values**2).sum(1, keepdims=True))
        return np.divide(values, length, out=np.zeros_like(values), where=length > 0)

    shared = normed(sizes) @ normed(sizes).T
    found = normed(residuals) @ normed(residuals).T
    shows = np.asarray(residuals.any(axis=1))
    found = np.where(shows[:, None] & shows[None], found, shared)
    np.fill_diagonal(found, 1.0)
    return found
