"""Measures of two sets of feature vectors, or of one: what papers print beside FID.

Definitions and constants are those of cmmd-pytorch @ f7673a9 (CMMD), dgm-eval @ 74c79f7 (precision,
recall, density, coverage, kernel distance, Vendi) and prdc 0.2. All in float64, in blocks, so that
memory stays bounded. The numbers of precision, recall, density and coverage depend on the number of
vectors: compare equal numbers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.metrics.text import counted

SIGMA, SCALE = 10.0, 1000.0  # of CMMD's Gaussian kernel, and of the number it prints
BLOCK = 2048  # rows of a matrix of distances at a time


def _checked(*sets: np.ndarray, least: int = 1) -> list[np.ndarray]:
    found = [np.asarray(x, np.float64) for x in sets]
    for x in found:
        if x.ndim != 2 or len(x) < least:
            raise UserError(
                f"a set of {counted(len(x), 'image')} is too small: at least {least} are needed"
            )
        if not np.isfinite(x).all():
            raise UserError("feature vectors are not finite: run the feature network in float32")
    return found


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of length one. Raises UserError for a row of zeros."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise UserError("a feature vector is all zeros: it has no direction")
    return np.asarray(x / lengths)


def _squared(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of blocks of ``x`` to all of ``y``."""
    y_lengths = (y * y).sum(1)
    for start in range(0, len(x), BLOCK):
        own = x[start : start + BLOCK]
        block = (own * own).sum(1)[:, None] + y_lengths[None, :] - 2 * own @ y.T
        yield slice(start, start + len(own)), np.maximum(block, 0.0)


def _gaussian_mean(x: np.ndarray, y: np.ndarray) -> float:
    gamma = 1 / (2 * SIGMA**2)
    total = sum(float(np.exp(-gamma * block).sum()) for _, block in _squared(x, y))
    return total / (len(x) * len(y))


def cmmd(real: np.ndarray, fake: np.ndarray) -> float:
    """1000 x squared MMD of unit vectors, Gaussian kernel of sigma 10, biased (diagonals in).

    0 for a set with itself, at most 39.6. Jayasumana et al. 2024 (arXiv 2401.09603)."""
    x, y = (unit_rows(own) for own in _checked(real, fake))
    return SCALE * (_gaussian_mean(x, x) + _gaussian_mean(y, y) - 2 * _gaussian_mean(x, y))


@dataclass(frozen=True)
class Manifold:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each point to its k-th other neighbour in its own set."""
    found = np.empty(len(x))
    for own, block in _squared(x, x):
        block[np.arange(len(block)), np.arange(own.start, own.stop)] = 0.0
        found[own] = np.partition(block, k, axis=1)[:, k]
    return found


def manifold(real: np.ndarray, fake: np.ndarray, k: int = 5) -> Manifold:
    """The four measures with balls up to the k-th neighbour; all comparisons are strict.

    Density may exceed 1. Raises UserError for fewer than k + 2 vectors on a side."""
    x, y = _checked(real, fake, least=k + 2)
    real_radii, fake_radii = _radii(x, k), _radii(y, k)
    inside_any_real, density = 0, 0.0
    covered = np.zeros(len(x), bool)
    in_any_fake = np.zeros(len(x), bool)
    for own, block in _squared(y, x):
        inside = block < real_radii[None, :]
        inside_any_real += int(inside.any(1).sum())
        density += float(inside.sum()) / k
        covered |= inside.any(0)
        in_any_fake |= (block < fake_radii[own][:, None]).any(0)
    return Manifold(
        precision=inside_any_real / len(y),
        recall=float(in_any_fake.mean()),
        density=density / len(y),
        coverage=float(covered.mean()),
    )


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Squared MMD under the cubic kernel, diagonals out of both own sums, cross term in full."""
    x, y = _checked(real, fake, least=2)

    def total(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)

    own_x, own_y = total(x, x), total(y, y)
    m, n = len(x), len(y)
    return float(
        (own_x.sum() - np.trace(own_x)) / (m * (m - 1))
        + (own_y.sum() - np.trace(own_y)) / (n * (n - 1))
        - 2 * total(x, y).sum() / (m * n)
    )


def vendi(x: np.ndarray, order: float = 1.0) -> float:
    """Vendi score of one set: how many different images it is worth, from 1 to n.

    exp of the entropy of the eigenvalues of the cosine similarities / n; ``order`` infinity gives
    1 / the largest. Friedman and Dieng 2023 (arXiv 2210.02410)."""
    (own,) = (unit_rows(rows) for rows in _checked(x))
    small = own @ own.T if len(own) <= own.shape[1] else own.T @ own
    values = np.linalg.eigvalsh(small / len(own))
    values = values[values > 1e-12]
    if np.isinf(order):
        return float(1 / values.max())
    if order == 1:
        return float(np.exp(-(values * np.log(values)).sum()))
    return float((values**order).sum() ** (1 / (1 - order)))
