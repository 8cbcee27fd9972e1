"""How well raters agree with each other and a judge with them: points, rankings, systems.

Ratings are tables (items, raters) with NaN where a rater gave none. Every measure that is undefined
for the data at hand, such as kappa for raters who never vary, is None and never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as _fleiss

Level = Literal["nominal", "ordinal", "interval"]
Marks = Sequence[float] | np.ndarray


def _pair(a: Marks, b: Marks) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError("two raters need one rating each of the same items")
    return first, second


def share_equal(a: Marks, b: Marks) -> float:
    """Share of items that both rate the same."""
    first, second = _pair(a, b)
    return float((first == second).mean())


def cohen_kappa(
    a: Marks, b: Marks, weights: Literal["linear", "quadratic"] | None = None
) -> float | None:
    """Cohen's kappa by scikit-learn; None if a rater gave a single value only."""
    first, second = _pair(a, b)
    values, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return None
    own, other = codes[: len(first)], codes[len(first) :]
    return float(cohen_kappa_score(own, other, labels=range(len(values)), weights=weights))


def gwet_ac1(a: Marks, b: Marks) -> float | None:
    """Gwet's AC1 (2008): like kappa, but steady where one answer is rare. None for one category."""
    first, second = _pair(a, b)
    both = np.concatenate([first, second])
    categories = np.unique(both)
    if len(categories) < 2:
        return None
    shares = np.array([(both == value).mean() for value in categories])
    chance = float((shares * (1 - shares)).sum() / (len(categories) - 1))
    return (share_equal(a, b) - chance) / (1 - chance)


def fleiss_kappa(ratings: np.ndarray) -> float | None:
    """Fleiss' kappa by statsmodels, over items that every rater rated; None if nothing varies."""
    whole = ratings[~np.isnan(ratings).any(axis=1)]
    values = np.unique(whole)
    if len(whole) < 2 or whole.shape[1] < 2 or len(values) < 2:
        return None
    counts = np.stack([(whole == value).sum(axis=1) for value in values], axis=1)
    return float(_fleiss(counts, method="fleiss"))


def krippendorff_alpha(ratings: np.ndarray, level: Level = "nominal") -> float | None:
    """Krippendorff's alpha (2011) of any number of raters with gaps; None if nothing varies.

    From the coincidence matrix: each item with m ratings adds its ordered pairs, each 1/(m - 1)."""
    rated = [row[~np.isnan(row)] for row in np.asarray(ratings, np.float64)]
    rated = [row for row in rated if len(row) > 1]
    if not rated:
        return None
    values = np.unique(np.concatenate(rated))
    if len(values) < 2:
        return None
    coincidences = np.zeros((len(values),) * 2)
    for row in rated:
        counts = (row[:, None] == values).sum(axis=0).astype(np.float64)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(row) - 1)
    totals = coincidences.sum(axis=0)
    distance = _distances(values, totals, level)
    expected = (np.outer(totals, totals) - np.diag(totals)) / (totals.sum() - 1)
    return float(1 - (coincidences * distance).sum() / (expected * distance).sum())


def _distances(values: np.ndarray, totals: np.ndarray, level: Level) -> np.ndarray:
    """Squared differences between values (v, v)."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    places = values
    if level == "ordinal":  # the ratings between two values, and half of those at either
        places = np.cumsum(totals) - totals / 2
    return np.square(places[:, None] - places[None, :])


def pairwise_agreement(ratings: np.ndarray) -> float | None:
    """Chance that two raters of an item agree: the ceiling for any judge. Mean over items."""
    shares = []
    for row in np.asarray(ratings, np.float64):
        own = row[~np.isnan(row)]
        if len(own) > 1:
            same = (own[:, None] == own[None, :]).sum() - len(own)
            shares.append(same / (len(own) * (len(own) - 1)))
    return float(np.mean(shares)) if shares else None


def rank_correlations(a: Marks, b: Marks) -> tuple[float, float] | None:
    """Spearman's rho and Kendall's tau-b; None if either is constant."""
    first, second = _pair(a, b)
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return None
    return float(stats.spearmanr(first, second).statistic), float(
        stats.kendalltau(first, second).statistic
    )


def pairwise_accuracy(human: Marks, judge: Marks) -> tuple[float, float]:
    """Share of pairs of items that the judge orders as people do, ties included, and the threshold.

    A difference of at most the threshold is a tie for the judge. The threshold is the one that
    maximises the accuracy on these same items (Deutsch et al. 2023, arXiv 2305.14324): fitted, so
    report it. Raises ValueError for fewer than two items."""
    people, own = _pair(human, judge)
    if len(people) < 2:
        raise ValueError("pairs need at least two items")
    first, second = np.triu_indices(len(people), 1)
    wanted = np.sign(people[first] - people[second])
    given = own[first] - own[second]
    gap = np.abs(given)
    order = np.argsort(gap, kind="stable")
    # With the k smallest gaps as ties: the true ties among them are right, and so are the pairs
    # beyond in the right order.
    ordered_right = (np.sign(given) == wanted)[order] & (gap[order] > 0)
    tied = (wanted == 0)[order]
    right = np.concatenate([[0], np.cumsum(tied)]) + np.concatenate(
        [np.cumsum(ordered_right[::-1])[::-1], [0]]
    )
    ends = np.flatnonzero(np.diff(gap[order], append=np.inf)) + 1  # after each distinct gap
    if gap[order][0] > 0:
        ends = np.concatenate([[0], ends])
    best = ends[int(np.argmax(right[ends]))]
    threshold = float(gap[order][best - 1]) if best else 0.0
    return float(right[best] / len(gap)), threshold
