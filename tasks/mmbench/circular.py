"""CircularEval of MMBench: a question counts if it is answered right in every rotation.

Source: VLMEvalKit @ e8e78f0, without its judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Groups:
    """Rows by question: ``codes`` (n,) int, and how many rows each group has and should have."""

    codes: np.ndarray
    size: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, options: np.ndarray) -> Groups:
        import pandas as pd

        codes, _ = pd.factorize(groups)
        size = np.bincount(codes)
        first = np.unique(codes, return_index=True)[1]
        return cls(codes, size, size == options[first])

    def circular(self, chance: np.ndarray) -> np.ndarray:
        """Probability (groups,) that all rows are right; NaN where rotations are missing.

        ``chance`` (n,) is that of each row: 0 or 1, or between where a letter is drawn."""
        product = np.ones(len(self.size))
        np.multiply.at(product, self.codes, chance)
        return np.where(self.whole, product, np.nan)

    def first(self, values: np.ndarray) -> np.ndarray:
        return values[np.unique(self.codes, return_index=True)[1]]


def whole(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Rows of questions that have all of their rotations."""
    return rows.groupby("group")["group"].transform("size") == rows["options"]


def mean(values: np.ndarray) -> float:
    """Over what is a number, NaN if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
