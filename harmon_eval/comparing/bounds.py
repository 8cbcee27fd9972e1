"""One test for a difference: p-values for any margin, and the bounds that are their inverse.

Marks are bounded, and groups are few. ``BoundedMean`` therefore tests the mean of the groups'
differences as Gaffke (2005) does: the Bayesian bootstrap (Rubin 1981), with one more group that
shows the worst difference there could be. It needs neither a normal distribution nor an observed
change. For one 0/1 mark a group and a margin of 0 it is McNemar's exact test; for groups that can
only lose it is the bound of Clopper and Pearson. There it is proved. Elsewhere it held in all
simulations (Learned-Miller & Thomas 2020; Phan et al. 2021; ours: benchmarks/gate_power.py).

``Student`` is the t test, for metrics with a jackknife (FID, KID).

p-values are computed, not drawn: the same data always give the same verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import special

FAR = 12.0  # standard deviations: beyond, Chernoff's bound is enough
DEAD = 30.0  # the integrand is below exp(-DEAD)
AT_A_TIME = 2**16  # groups
WIDEST, TURN = 0.1, 0.4  # between two points of the integral: of its variable, and in radians


class Evidence(Protocol):
    """What is known about a true difference. All methods belong to one test.

    ``above(x)`` is the p-value of the claim that the true difference is above x, ``below(x)`` of
    the claim that it is below x. ``lower(level)`` is the x where above(x) is ``level``, and
    ``upper(level)`` the x where below(x) is. ``turned`` is the evidence on the opposite difference.
    ``least(x)`` is the smallest p that ``below(x)`` could have been with this many groups.
    ``error`` is the standard error of the estimate; 0 if all groups changed alike.
    ``most`` is the largest difference that there can be.
    ``times(k)`` is what k times as many groups would say that look like these."""

    @property
    def turned(self) -> Evidence: ...
    @property
    def error(self) -> float: ...
    @property
    def most(self) -> float: ...
    def above(self, x: float) -> float: ...
    def below(self, x: float) -> float: ...
    def lower(self, level: float) -> float: ...
    def upper(self, level: float) -> float: ...
    def least(self, x: float) -> float: ...
    def times(self, k: float) -> Evidence: ...


@dataclass(frozen=True)
class Student:
    """The t test of ``value`` with its standard ``error``."""

    value: float
    error: float
    degrees: int
    most: float = math.inf

    @property
    def turned(self) -> Student:
        return replace(self, value=-self.value)

    def above(self, x: float) -> float:
        if not self.error:
            return float(self.value <= x)
        return float(special.stdtr(self.degrees, (x - self.value) / self.error))

    def below(self, x: float) -> float:
        return self.turned.above(-x)

    def lower(self, level: float) -> float:
        return self.value + float(special.stdtrit(self.degrees, level)) * self.error

    def upper(self, level: float) -> float:
        return -self.turned.lower(level)

    def least(self, x: float) -> float:
        return 0.0

    def times(self, k: float) -> Student:
        return replace(self, error=self.error / k**0.5)


@dataclass(frozen=True, eq=False)
class BoundedMean:
    """The weighted mean of independent differences between -``most`` and ``most``.

    ``counts`` (kinds,) says how many groups have each pair of ``weights`` and ``values`` (kinds,).
    """

    weights: np.ndarray
    values: np.ndarray
    counts: np.ndarray
    most: float

    @classmethod
    def of(cls, weights: np.ndarray, values: np.ndarray, most: float) -> BoundedMean:
        """From the weights and differences (groups,). Equal groups are added up."""
        mean = weights.mean()
        parts = []
        for start in range(0, len(weights), AT_A_TIME):
            own = slice(start, start + AT_A_TIME)
            pairs = np.round(np.stack([weights[own] / mean, values[own] / most]), 12) + 0.0
            parts.append(np.unique(pairs, axis=1, return_counts=True))
        kinds = np.concatenate([pairs for pairs, _ in parts], axis=1)
        times = np.concatenate([counts for _, counts in parts])
        (weight, value), where = np.unique(kinds, axis=1, return_inverse=True)
        return cls(weight, value * most, np.bincount(where.ravel(), weights=times), most)

    @cached_property
    def turned(self) -> BoundedMean:
        return replace(self, values=-self.values)

    @cached_property
    def _lower(self) -> dict[float, float]:
        """Bounds that were asked for: verdict, interval and detectable loss need the same ones."""
        return {}

    @property
    def error(self) -> float:
        share = self.weights * self.counts / (self.weights @ self.counts)
        squares = self.counts @ (self.weights * (self.values - share @ self.values)) ** 2
        groups = self.counts.sum()
        return float(np.sqrt(squares * groups / max(groups - 1, 1)) / (self.weights @ self.counts))

    def above(self, x: float) -> float:
        if x < -self.most:
            return 0.0
        if x >= self.values.max():
            return 1.0
        weights = np.append(self.weights, self.weights.max())
        values = np.append(self.values, -self.most)
        return not_positive(weights * (values - x), np.append(self.counts, 1.0))

    def below(self, x: float) -> float:
        return self.turned.above(-x)

    def lower(self, level: float) -> float:
        if level not in self._lower:
            self._lower[level] = self._bound(level)
        return self._lower[level]

    def _bound(self, level: float) -> float:
        from scipy import optimize  # here and below, so that a run does not wait for it

        low, high = -self.most * (1 - 1e-9), float(self.values.max())
        if high <= low or self.above(low) >= level:
            return -self.most

        def beyond(x: float) -> float:
            return self.above(x) - level

        return float(optimize.brentq(beyond, low, high, xtol=1e-10 * self.most))

    def upper(self, level: float) -> float:
        return -self.turned.lower(level)

    def times(self, k: float) -> BoundedMean:
        return replace(self, counts=self.counts * k)

    def least(self, x: float) -> float:
        return replace(self, values=np.full_like(self.values, -self.most)).below(x)


def not_positive(scales: np.ndarray, shapes: np.ndarray) -> float:
    """P(sum of scales * Gamma(shapes) <= 0) for independent gamma variables, to about 1e-9.

    The characteristic function is inverted numerically (Gil-Pelaez 1951; Imhof 1961). In the
    logarithm of its variable the integrand is smooth and decays at both ends, so that the
    trapezoidal rule converges fast."""
    scales, shapes = scales[scales != 0], shapes[scales != 0]
    if not scales.size or scales.max() <= 0:
        return 1.0
    if scales.min() >= 0:
        return 0.0
    spread = float(np.sqrt(shapes @ scales**2))
    scales = scales / spread
    mean = float(shapes @ scales)
    if abs(mean) > FAR:
        return chernoff(scales, shapes) if mean > 0 else 1 - chernoff(-scales, shapes)

    def size(at: np.ndarray) -> np.ndarray:
        return np.asarray(np.log1p(at**2) @ shapes / 2)

    start = float(np.log(1e-6 / max(1.0, abs(mean))))
    coarse = np.arange(start, start + 80, 0.25)
    end = int(np.searchsorted(size(np.exp(coarse)[:, None] * scales), DEAD))
    at = np.exp(coarse[: end + 1])[:, None] * scales
    turn = float(np.abs((at / (1 + at**2)) @ shapes).max())  # radians per unit of the logarithm
    stop = float(coarse[min(end, len(coarse) - 1)])
    points = int((stop - start) / min(WIDEST, TURN / max(turn, 1e-9))) + 2
    grid, step = np.linspace(start, stop, points, retstep=True)
    at = np.exp(grid)[:, None] * scales
    found = np.sin(np.arctan(at) @ shapes) * np.exp(-size(at))
    integral = float(step * (found.sum() - (found[0] + found[-1]) / 2))
    integral += mean * float(np.exp(start))  # what lies before the start
    return float(np.clip(0.5 - integral / np.pi, 0, 1))


def chernoff(scales: np.ndarray, shapes: np.ndarray) -> float:
    """An upper bound of P(sum of scales * Gamma(shapes) <= 0)."""
    from scipy import optimize

    def exponent(t: float) -> float:
        return -float(shapes @ np.log1p(scales * t))

    ends = (0.0, -1 / float(scales.min()))
    found = optimize.minimize_scalar(exponent, bounds=ends, method="bounded")
    return float(np.exp(min(found.fun, 0.0)))
