"""Many tests at once: p-values corrected, and the level at which each of them was decided.

A test decides by its p-value at its own level, and so does its interval: what is outside of the
interval at that level is rejected, whatever else was tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Corrected:
    """``p`` is compared with the level of the family, the original p-value with ``level``."""

    p: float
    level: float


def holm(raw: Sequence[float], alpha: float) -> list[Corrected]:
    """Any false rejection in at most ``alpha`` of families (Holm 1979).

    The k-th smallest p of m is tested at alpha / (m - k + 1), up to the first that is not rejected.
    That one and all larger ones are tested at its level."""
    p, order = np.asarray(raw, float), np.argsort(raw, kind="stable")
    factors = np.arange(len(p), 0, -1)
    rejected = p[order] * factors <= alpha
    stop = len(p) - 1 if rejected.all() else int(np.argmin(rejected))
    levels = alpha / factors
    levels[stop:] = alpha / factors[stop]
    adjusted = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return _in_order(adjusted, levels, order)


def benjamini_hochberg(raw: Sequence[float], alpha: float) -> list[Corrected]:
    """On average at most ``alpha`` of the rejections are false (Benjamini & Hochberg 1995).

    With k rejections, all m tests are at k * alpha / m (Benjamini & Yekutieli 2005: intervals at
    this level cover as often)."""
    p, order = np.asarray(raw, float), np.argsort(raw, kind="stable")
    factors = len(p) / np.arange(1, len(p) + 1)
    adjusted = np.minimum(1, np.minimum.accumulate((p[order] * factors)[::-1])[::-1])
    rejections = int((adjusted <= alpha).sum())
    levels = np.full(len(p), alpha * max(rejections, 1) / max(len(p), 1))
    return _in_order(adjusted, levels, order)


def _in_order(adjusted: np.ndarray, levels: np.ndarray, order: np.ndarray) -> list[Corrected]:
    found = [Corrected(1.0, 0.0)] * len(order)
    for place, p, level in zip(order, adjusted, levels, strict=True):
        found[place] = Corrected(float(p), float(level))
    return found
