"""Kernel Inception distance: squared maximum mean discrepancy with a cubic polynomial kernel.

Bińkowski et al. 2018 (arXiv 1801.01401): k(x, y) = (x·y / d + 1)³, the unbiased estimator. Unlike
FID, it is unbiased for any number of images, so use it when there are too few images for FID. It
may be slightly negative for equal distributions.

A generated image and its reference share a prompt, so they are not independent. The published
estimator averages over all pairs of a generated image and a reference, which includes these, and is
then biased downwards. ``kid`` leaves pairs with the same prompt out of all three means (Gretton et
al. 2012, JMLR 13, lemma 6, do this for equal indices), and is unbiased again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.metrics.statistics import Replicates

JACKKNIFE_GROUPS = 20
MINIMUM = 4
BLOCK = 256  # rows of the kernel matrix held at once


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

    For independent sets: this is the published formula, which includes pairs that share a prompt.
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


def kid(x: np.ndarray, y: np.ndarray, prompts: np.ndarray | None = None) -> Kid:
    """KID of the features ``x`` and ``y``, both (n, d), of images of the same prompts, in order.

    ``prompts`` (n,) labels rows that share a prompt or a reference; by default no rows do.
    The mean is over all pairs of rows with different prompts. That is also the mean over all
    possible subsets, whatever their size. The standard error is that of ``kid_replicates``.

    Raises UserError for fewer than four prompts, sets of different length or values that are not
    finite."""
    value, parts = _jackknife(x, y, prompts)
    return Kid(value, parts.error)


def kid_replicates(x: np.ndarray, y: np.ndarray, prompts: np.ndarray | None = None) -> Replicates:
    """KID with each of at most 20 groups of prompts left out of both sets in turn.

    Prompts are grouped by position, so two runs on the same prompts have the same groups. Errors
    are those of ``kid``."""
    return _jackknife(x, y, prompts)[1]


def _jackknife(
    x: np.ndarray, y: np.ndarray, prompts: np.ndarray | None
) -> tuple[float, Replicates]:
    if len(x) != len(y):
        raise UserError(f"KID needs one reference per image, not {len(y)} for {len(x)} images")
    prompt, groups = jackknife_groups(len(x), prompts)
    if (count := int(prompt.max(initial=-1)) + 1) < MINIMUM:
        raise UserError(f"KID needs at least {MINIMUM} prompts, not {count}")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("feature vectors are not finite: run the feature network in float32")
    sums, pairs = _sums(x, y, prompt, groups), _pairs(prompt, groups)

    def without_each(table: np.ndarray) -> np.ndarray:
        return table.sum() - table.sum(axis=0) - table.sum(axis=1) + np.diag(table)

    leave_out = without_each(sums) / without_each(pairs)
    return float(sums.sum() / pairs.sum()), Replicates.without_groups(leave_out)


def jackknife_groups(rows: int, prompts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Number of each row's prompt, in order of appearance, and its group, both (rows,)."""
    if prompts is None:
        prompt = np.arange(rows)
    else:
        _, first, inverse = np.unique(prompts, return_index=True, return_inverse=True)
        prompt = np.argsort(np.argsort(first))[inverse]
    return prompt, prompt % JACKKNIFE_GROUPS


def _sums(x: np.ndarray, y: np.ndarray, prompt: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of h over the pairs of rows with different prompts, by the groups of both: (g, g).

    h(i, j) = k(xi, xj) + k(yi, yj) - k(xi, yj) - k(yi, xj) is symmetric, so each pair is computed
    once."""
    member = np.eye(groups.max() + 1)[groups]  # (n, g)
    total = np.zeros((member.shape[1],) * 2)
    for start in range(0, len(x), BLOCK):
        own, rest = slice(start, start + BLOCK), slice(start, None)
        h = _kernel(x[own], x[rest]) + _kernel(y[own], y[rest])
        h -= _kernel(x[own], y[rest]) + _kernel(y[own], x[rest])
        h[prompt[own, None] == prompt[None, rest]] = 0.0
        width = h.shape[0]
        h[:, :width] /= 2  # the pairs within the block come twice
        half = member[own].T @ h @ member[rest]
        total += half + half.T
    return total


def _pairs(prompt: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The number of ordered pairs behind each sum of ``_sums``: (g, g)."""
    rows = np.bincount(groups).astype(np.float64)
    sizes = np.bincount(prompt)
    same = np.bincount(np.arange(len(sizes)) % JACKKNIFE_GROUPS, weights=sizes**2)
    return np.outer(rows, rows) - np.diag(same)
