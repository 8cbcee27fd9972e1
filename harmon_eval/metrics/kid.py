"""Kernel Inception distance: squared maximum mean discrepancy with a cubic polynomial kernel.

Bińkowski et al. 2018 (arXiv 1801.01401): k(x, y) = (x·y / d + 1)³, the unbiased estimator, averaged
over random subsets. Unlike FID, it is unbiased for any number of images, so use it when there are
too few images for FID. It may be slightly negative for equal distributions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.metrics.statistics import Replicates

SUBSETS = 100
SUBSET_SIZE = 1000


@dataclass(frozen=True)
class Kid:
    mean: float
    standard_error: float


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    product = x @ y.T
    product /= x.shape[1]
    product += 1.0
    return product * product * product


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD of ``x`` (m, d) and ``y`` (n, d) under the cubic kernel, in float64.

    Raises UserError if a set has fewer than two vectors."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    m, n = len(x), len(y)
    if m < 2 or n < 2:
        raise UserError(f"KID needs at least 2 images per set, not {m} and {n}")
    within_x, within_y = _kernel(x, x), _kernel(y, y)
    return float(
        (within_x.sum() - np.trace(within_x)) / (m * (m - 1))
        + (within_y.sum() - np.trace(within_y)) / (n * (n - 1))
        - 2 * _kernel(x, y).mean()
    )


def kid(
    x: np.ndarray,
    y: np.ndarray,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> Kid:
    """KID of features ``x`` and ``y``, both (n, d): mean over random subsets and standard error.

    Raises UserError if a set has fewer than four vectors or if values are not finite."""
    parts = kid_replicates(x, y, subsets, subset_size, seed)
    return Kid(float(parts.values.mean()), parts.error if subsets > 1 else 0.0)


def kid_replicates(
    x: np.ndarray,
    y: np.ndarray,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> Replicates:
    """KID of random subsets. Which vectors a subset holds depends only on the numbers of vectors.

    Subsets hold ``subset_size`` vectors of each set, at most half of the smaller set. The standard
    error is that of the estimate on the whole set: the subsets are a delete-d jackknife (Shao and
    Wu 1989), so it comes from the variance between subsets times m / (n - m), where m of n vectors
    are kept. (The plain standard deviation over subsets, which is often printed beside KID, depends
    on the subset size and is not the standard error of the mean.)

    Raises UserError if a set has fewer than four vectors or if values are not finite."""
    n = min(len(x), len(y))
    if n < 4:
        raise UserError(f"KID needs at least 4 images per set, not {n}")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("feature vectors are not finite: run the feature network in float32")
    m = min(subset_size, n // 2)
    rng = np.random.default_rng(seed)
    values = [
        squared_mmd(
            x[rng.choice(len(x), m, replace=False)], y[rng.choice(len(y), m, replace=False)]
        )
        for _ in range(subsets)
    ]
    degrees = max(1, subsets - 1)
    return Replicates(np.array(values), m / (n - m) / degrees, degrees)
