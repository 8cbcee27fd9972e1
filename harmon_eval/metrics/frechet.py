"""Fréchet distance between two sets of feature vectors, from streamed float64 moments.

    d² = |m1 - m2|² + tr(S1) + tr(S2) - 2 tr((S1^½ S2 S1^½)^½)

(Heusel et al. 2017, arXiv 1706.08500, section 2.) The trace of the root is the sum of the roots of
the eigenvalues of a symmetric matrix. This avoids a general matrix square root, complex results
and regularisation. clean-fid takes the root of the asymmetric S1 S2 instead. Both matrices have the
same eigenvalues, and the results agree up to rounding (clean-fid computes the mean in float32).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.metrics.text import counted_are


class TooFewSamples(UserError):
    """With so few vectors the covariance is singular, and the Fréchet distance is meaningless."""


@dataclass
class FrechetStatistics:
    """Count and shifted moments of a stream of d-dimensional vectors: all that FID needs.

    ``total`` is Σ(x - shift), (d,); ``outer`` is Σ(x - shift)(x - shift)ᵀ, (d, d). The shift (mean
    of the first batch) prevents cancellation in the subtraction in ``covariance``. Memory does
    not grow with the count. ``identity`` says which features these are (protocol and network).
    Statistics with different identities cannot be merged or compared.
    """

    identity: str = ""
    count: int = 0
    shift: np.ndarray | None = None
    total: np.ndarray | None = None
    outer: np.ndarray | None = None

    @classmethod
    def of(cls, features: np.ndarray, identity: str = "") -> FrechetStatistics:
        """Statistics of one array of features, (n, d)."""
        statistics = cls(identity)
        statistics.update(features)
        return statistics

    @classmethod
    def given(
        cls, mean: np.ndarray, covariance: np.ndarray, count: int | None = None, identity: str = ""
    ) -> FrechetStatistics:
        """Statistics from a mean (d,) and an unbiased covariance (d, d), to be compared only.

        Without the ``count`` of vectors behind them, they are taken to be enough."""
        known = max(2, len(mean) + 1) if count is None else count
        shift, outer = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
        return cls(identity, known, shift, np.zeros(len(shift)), outer * (known - 1))

    def update(self, features: np.ndarray) -> None:
        """Add a batch of vectors (n, d) of any float precision.

        Raises UserError if a value is not finite: one NaN would silently corrupt the sums."""
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2:
            raise UserError(f"features must have shape (n, d), not {x.shape}")
        if not np.isfinite(x).all():
            bad = int((~np.isfinite(x)).any(axis=1).sum())
            raise UserError(
                f"{bad:,} of {len(x):,} feature vectors are not finite: the feature network "
                "overflowed or its weights are broken; run it in float32"
            )
        if len(x) == 0:
            return
        if self.shift is None or self.total is None or self.outer is None:
            self.shift = x.mean(axis=0)
            self.total = np.zeros(x.shape[1])
            self.outer = np.zeros((x.shape[1], x.shape[1]))
        if x.shape[1] != self.shift.size:
            raise UserError(
                f"a batch has {x.shape[1]} features, but earlier batches had {self.shift.size}"
            )
        x = x - self.shift
        self.count += len(x)
        self.total = self.total + x.sum(axis=0)
        self.outer += x.T @ x

    def merge(self, other: FrechetStatistics) -> FrechetStatistics:
        """The statistics of both streams combined. Shards may have different shifts."""
        return self._combine(other, +1)

    def without(self, part: FrechetStatistics) -> FrechetStatistics:
        """The statistics of this stream without ``part``, which must be a part of it."""
        return self._combine(part, -1)

    def _combine(self, other: FrechetStatistics, sign: int) -> FrechetStatistics:
        _require_same(self, other)
        if other.count == 0:
            return copy.deepcopy(self)
        if self.count == 0 and sign > 0:
            return copy.deepcopy(other)
        shift, total, outer = self._sums()
        other_shift, other_total, other_outer = other._sums()
        # Convert the other sums to this shift: x - a = (x - b) + (b - a).
        move = other_shift - shift
        cross = np.outer(other_total, move)
        moved = other_outer + cross + cross.T + other.count * np.outer(move, move)
        return FrechetStatistics(
            self.identity,
            self.count + sign * other.count,
            shift.copy(),
            total + sign * (other_total + other.count * move),
            outer + sign * moved,
        )

    def _sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.shift is None or self.total is None or self.outer is None:
            raise TooFewSamples("no feature vectors were given: FID needs at least two")
        return self.shift, self.total, self.outer

    @property
    def width(self) -> int:
        return 0 if self.shift is None else self.shift.size

    @property
    def mean(self) -> np.ndarray:
        """(d,) float64. Raises TooFewSamples for an empty stream."""
        shift, total, _ = self._sums()
        return shift + total / self.count

    @property
    def covariance(self) -> np.ndarray:
        """(d, d) float64, unbiased (divisor n - 1). Raises TooFewSamples below two vectors."""
        _, total, outer = self._sums()
        if self.count < 2:
            raise TooFewSamples("one feature vector has no covariance: FID needs at least two")
        covariance = (outer - np.outer(total, total) / self.count) / (self.count - 1)
        return (covariance + covariance.T) / 2


def _require_same(a: FrechetStatistics, b: FrechetStatistics) -> None:
    if a.count and b.count and a.identity != b.identity:
        raise UserError(
            f"features of different protocols or networks cannot be compared: "
            f"{a.identity or 'unnamed'} and {b.identity or 'unnamed'}"
        )
    if a.count and b.count and a.width != b.width:
        raise UserError(f"{a.width} and {b.width} features cannot be compared")


def require_enough(statistics: FrechetStatistics, kind: str = "image") -> None:
    """Raises TooFewSamples if there are fewer vectors than features; ``kind`` says of what."""
    if statistics.count < max(2, statistics.width):
        raise TooFewSamples(
            f"{counted_are(statistics.count, kind)} fewer than the {statistics.width} features: "
            "their covariance is singular and FID would mislead. Use at least "
            f"{statistics.width} images, or use KID, which has no such limit"
        )


def frechet_distances(
    reference: FrechetStatistics, sets: Iterable[FrechetStatistics]
) -> list[float]:
    """Squared Fréchet distance (FID) of each of ``sets`` to ``reference``.

    The matrix root of the reference is computed once. Raises TooFewSamples if a set has fewer
    vectors than features, UserError if identities differ or values are not finite. Distances are
    never negative or NaN."""
    require_enough(reference, "reference image")
    from scipy import linalg  # here, so that listing the tasks does not wait for scipy

    mean, covariance = reference.mean, reference.covariance
    _require_finite(mean, covariance)
    root = _root(covariance)
    distances = []
    for other in sets:
        _require_same(other, reference)
        require_enough(other)
        other_mean, other_covariance = other.mean, other.covariance
        _require_finite(other_mean, other_covariance)
        product = root.T @ other_covariance @ root
        roots = np.sqrt(linalg.eigvalsh((product + product.T) / 2, driver="ev").clip(min=0))
        traces = np.trace(covariance) + np.trace(other_covariance)
        difference = mean - other_mean
        distances.append(max(0.0, float(difference @ difference + traces - 2 * roots.sum())))
    return distances


def _root(covariance: np.ndarray) -> np.ndarray:
    """A matrix R with R Rᵀ = ``covariance``: the Cholesky factor, or if that is singular the
    symmetric root. S1 S2 and Rᵀ S2 R have the same eigenvalues for any such R of S1."""
    from scipy import linalg

    try:
        return np.asarray(linalg.cholesky(covariance, lower=True))
    except linalg.LinAlgError:
        values, vectors = linalg.eigh(covariance)
        return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)


def frechet_distance(a: FrechetStatistics, b: FrechetStatistics) -> float:
    """Squared Fréchet distance (FID) of two sets; see ``frechet_distances``."""
    return frechet_distances(b, [a])[0]


def _require_finite(mean: np.ndarray, covariance: np.ndarray) -> None:
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError("the feature statistics are not finite: the file or the network is broken")


def without_each_group(features: np.ndarray, groups: np.ndarray) -> list[FrechetStatistics]:
    """For a delete-a-group jackknife: the statistics with each group of vectors left out in turn.

    ``features`` (n, d), ``groups`` (n,) numbers from 0; a number that no vector has leaves nothing
    out. Each group's moments are subtracted from the total, so all of this takes one pass over the
    features instead of one pass per group."""
    parts = [FrechetStatistics.of(features[groups == g]) for g in range(groups.max(initial=-1) + 1)]
    total = FrechetStatistics()
    for part in parts:
        total = total.merge(part)
    return [total.without(part) for part in parts]
