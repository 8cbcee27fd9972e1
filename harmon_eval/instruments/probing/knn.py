"""A k-NN probe beside the linear probes. It learns nothing, so it shows the features' geometry.

Wu et al. 2018 (arXiv 1805.01978), as used by DINO (Caron et al. 2021, arXiv 2104.14294): with
cosine similarity s, the 20 nearest training images vote with weight exp(s / 0.07). Both tables are
read in blocks, so the features may be in mapped memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harmon_eval.instruments.probing.table import CHUNK, Table, ranks

NEIGHBOURS, TEMPERATURE = 20, 0.07


def unit(features: np.ndarray) -> np.ndarray:
    """(N, D) float32 of length 1; a zero vector stays zero."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    result: np.ndarray = features / np.maximum(length, np.finfo(np.float32).tiny)
    return result


def knn_ranks(train: Table, test: Table, classes: int) -> np.ndarray:
    """``ranks`` of the test rows by their nearest training rows. Uses raw, unscaled features."""
    parts = []
    for queries, own in _blocks(test):
        nearest, labels = _nearest(queries, train)
        # Relative to s = 1, which does not change the order.
        weights = np.exp((nearest - 1) / TEMPERATURE)
        votes = np.zeros((len(queries), classes))
        np.add.at(votes, (np.arange(len(queries))[:, None], labels), weights)
        parts.append(ranks(votes, own))
    return np.concatenate(parts)


def _blocks(table: Table) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(table), CHUNK):
        rows = table.rows[start : start + CHUNK]
        yield unit(np.asarray(table.features[rows])), table.labels[rows]


def _nearest(queries: np.ndarray, train: Table) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and labels (n, 20) of the nearest training rows; ties go to earlier rows."""
    best = np.empty((len(queries), 0), np.float32)
    labels = np.empty((len(queries), 0), np.int64)
    for block, own in _blocks(train):
        both = np.hstack([best, queries @ block.T])
        codes = np.hstack([labels, np.broadcast_to(own, (len(queries), len(own)))])
        places = _largest(both)
        best = np.take_along_axis(both, places, axis=1)
        labels = np.take_along_axis(codes, places, axis=1)
    return best, labels


def _largest(values: np.ndarray) -> np.ndarray:
    """Columns (n, 20) of the largest values of each row, in ascending order of column.

    Ties go to the first columns, which ``np.partition`` does not guarantee by itself."""
    count = min(NEIGHBOURS, values.shape[1])
    least = np.partition(values, -count, axis=1)[:, -count, None]
    above, equal = values > least, values == least
    room = count - above.sum(axis=1, keepdims=True)
    kept = above | (equal & (equal.cumsum(axis=1) <= room))
    return np.nonzero(kept)[1].reshape(len(values), count)
