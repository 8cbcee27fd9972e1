"""k-NN beside the linear probes: nothing is learned, so it shows the features' own geometry.

Wu et al. 2018 (arXiv 1805.01978) as DINO uses it (Caron et al. 2021, arXiv 2104.14294): cosine
similarity s, the 20 nearest training images vote with weight exp(s / 0.07).
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from harmon_eval.scoring.probe_table import CHUNK, ranks

NEIGHBOURS, TEMPERATURE = 20, 0.07


def _votes(distance: np.ndarray) -> np.ndarray:
    """Of unit vectors: |a - b|^2 = 2 - 2 s. Relative to s = 1, which leaves the order alone."""
    votes: np.ndarray = np.exp(-np.square(distance) / (2 * TEMPERATURE))
    return votes


def unit(features: np.ndarray) -> np.ndarray:
    """(N, D) float32 of length 1; a zero vector stays zero."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    result: np.ndarray = features / np.maximum(length, np.finfo(np.float32).tiny)
    return result


def knn_ranks(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> np.ndarray:
    """``ranks`` of test features (M, D) by the nearest of train (N, D); raw features, not scaled.

    Training labels count from 0 without a gap."""
    count = min(NEIGHBOURS, len(train))
    voters = KNeighborsClassifier(count, weights=_votes, algorithm="brute")
    voters.fit(unit(train), train_labels)
    parts = []
    for start in range(0, len(test), CHUNK):
        votes = voters.predict_proba(unit(test[start : start + CHUNK]))
        parts.append(ranks(votes, test_labels[start : start + CHUNK]))
    return np.concatenate(parts)
