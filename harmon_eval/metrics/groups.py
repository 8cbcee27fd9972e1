"""Groups of rows by number, without a table of their names.

Rows that are read to be added up have numbers for groups (``store.rows.labels``). Those that a
task or a test makes may have texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


LARGEST = 2**24  # a number up to which a place is held for each


def numbered(groups: pd.Series) -> np.ndarray:
    """Numbers (rows,) from 0 on, in the order of the groups' first rows."""
    if not _small(groups):
        return np.asarray(groups.factorize()[0])
    codes = groups.to_numpy()
    highest = np.maximum.accumulate(codes)
    if not codes[0] and (np.diff(highest) <= 1).all():
        return np.asarray(codes)  # they are so already
    first = np.full(int(highest[-1]) + 1, -1, np.int32)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)
    there = np.flatnonzero(first >= 0)
    rank = np.empty(len(first), np.int32)
    rank[there[np.argsort(first[there])]] = np.arange(len(there), dtype=np.int32)
    return np.asarray(rank[codes])


def count(groups: pd.Series) -> int:
    """How many there are."""
    if not _small(groups):
        return int(groups.nunique())
    there = np.zeros(int(groups.max()) + 1, bool)
    there[groups.to_numpy()] = True
    return int(np.count_nonzero(there))


def _small(groups: pd.Series) -> bool:
    whole = len(groups) > 0 and groups.dtype.kind in "iu"
    return whole and groups.min() >= 0 and groups.max() < LARGEST
