"""FID, KID and their companions of two independent sets, as of two folders.

The reference stays as it is, and intervals are for other drawn images against it. ``fid_pairs`` is
for sets whose images share prompts. Features are (n, d), row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.metrics.fid_pairs import REPEATS, SEED, Repeated, at_infinity, subset_sizes
from harmon_eval.metrics.frechet import (
    FrechetStatistics,
    frechet_distance,
    frechet_distances,
    without_each_group,
)
from harmon_eval.metrics.kid import jackknife_groups
from harmon_eval.metrics.sets import Manifold, manifold
from harmon_eval.metrics.statistics import Replicates

BLOCK = 1024  # rows of a matrix of kernels at a time
NEIGHBOURS = 5  # k of dgm-eval @ 74c79f7
MOST = 10_000  # images a side whose neighbours are looked for


def fid(drawn: np.ndarray, reference: FrechetStatistics) -> float:
    """FID. Raises TooFewSamples if there are fewer images than features."""
    return frechet_distance(FrechetStatistics.of(drawn, reference.identity), reference)


def fid_replicates(drawn: np.ndarray, reference: FrechetStatistics) -> Replicates:
    """FID with each of at most 20 groups of drawn images left out. Raises TooFewSamples."""
    _, groups = jackknife_groups(len(drawn))
    parts = without_each_group(drawn, groups)
    return Replicates.without_groups(frechet_distances(reference, parts))


def fid_infinity(drawn: np.ndarray, reference: FrechetStatistics) -> Repeated:
    """FID∞ (Chong and Forsyth 2020): FID of random subsets of the drawn images against the whole
    reference, extrapolated to infinitely many. Mean of ten repeats with fixed seeds.

    Sizes are dgm-eval's. The bias of the reference stays, as in the original, and the value may be
    below 0. Raises TooFewSamples (``fid_pairs.subset_sizes``)."""
    count = len(drawn)
    sizes = subset_sizes(*drawn.shape)
    whole = fid(drawn, reference)
    found = []
    for repeat in range(REPEATS):
        rng = np.random.default_rng((SEED, repeat))
        subsets = (drawn[rng.choice(count, size, replace=False)] for size in sizes[:-1])
        values = frechet_distances(reference, map(FrechetStatistics.of, subsets))
        found.append(at_infinity(sizes, [*values, whole]))
    return Repeated.of(found)


# -- kernels -------------------------------------------------------------------------------------


def _kernel_sums(x: np.ndarray, y: np.ndarray, member: np.ndarray) -> Iterator[np.ndarray]:
    """Of each block of ``y``: sums of the cubic kernel with ``x``, by the groups of x, (g, b)."""
    for start in range(0, len(y), BLOCK):
        values = x @ y[start : start + BLOCK].T
        values /= x.shape[1]
        values += 1.0
        yield member.T @ (values * values * values)


def _own_sums(x: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Sums of the kernel over pairs of different rows, by the groups of both, (g, g)."""
    parts = zip(_kernel_sums(x, x, member), range(0, len(x), BLOCK), strict=True)
    total = np.asarray(sum(own @ member[start : start + BLOCK] for own, start in parts))
    diagonal = ((x * x).sum(1) / x.shape[1] + 1) ** 3
    return total - np.diag(member.T @ diagonal)


def kid(drawn: np.ndarray, reference: np.ndarray) -> tuple[float, Replicates]:
    """KID (Bińkowski et al. 2018): unbiased squared MMD under the cubic kernel over all pairs, and
    the same without each of at most 20 groups of drawn images.

    It is the mean over all subsets of any size, of which other tools take some at random. Raises
    UserError for fewer than three images a side or values that are not finite."""
    x, y = np.asarray(drawn, np.float64), np.asarray(reference, np.float64)
    if min(len(x), len(y)) < 3:
        raise UserError(
            f"KID needs at least 3 images a side, not {len(x)} and {len(y)} (drawn, references)"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("feature vectors are not finite: run the feature network in float32")
    _, groups = jackknife_groups(len(x))
    member = np.eye(groups.max() + 1)[groups]
    own = _own_sums(x, member)
    across = np.asarray(sum(block.sum(1) for block in _kernel_sums(x, y, member)))
    one = np.ones((len(y), 1))
    within = float(_own_sums(y, one)[0, 0]) / (len(y) * (len(y) - 1))
    sizes = member.sum(0)

    def value(own_sum: float, cross_sum: float, m: float) -> float:
        return own_sum / (m * (m - 1)) + within - 2 * cross_sum / (m * len(y))

    left_out = [
        value(
            own.sum() - own[g].sum() - own[:, g].sum() + own[g, g],
            across.sum() - across[g],
            len(x) - sizes[g],
        )
        for g in range(len(sizes))
    ]
    return value(own.sum(), across.sum(), len(x)), Replicates.without_groups(left_out)


# -- neighbours ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Neighbours:
    """``compared``: how many images a side they are of, since the numbers depend on it."""

    measures: Manifold
    compared: int


def neighbours(drawn: np.ndarray, reference: np.ndarray, k: int = NEIGHBOURS) -> Neighbours:
    """Precision, recall, density and coverage of equally many images a side, at most ``MOST``.

    Of the larger set a random part with a fixed seed. Raises UserError for fewer than k + 2."""
    count = min(len(drawn), len(reference), MOST)
    real, fake = (
        x if len(x) == count else x[np.random.default_rng(SEED).choice(len(x), count, False)]
        for x in (reference, drawn)
    )
    return Neighbours(manifold(real, fake, k), count)
