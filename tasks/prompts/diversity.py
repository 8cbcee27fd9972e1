"""How different the images of a prompt are, added up over prompts."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Interval
from harmon_eval.instruments import spreading
from harmon_eval.instruments.likeness import cosine
from harmon_eval.metrics.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

FARTHEST = 2.0  # 1 - cos of two opposite vectors


def of_prompts(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Metric -> prompt -> how different its images are."""
    found = {}
    if "vector" in rows:
        found[f"diversity[1-cos {rows['network'].iloc[0]}]"] = _by_vectors(rows)
    if "distances" in rows:
        found[f"diversity[{rows['spread_by'].iloc[0]}]"] = spreading.means(rows)
    return {name: own for name, own in found.items() if own}


def _by_vectors(rows: pd.DataFrame) -> dict[str, float]:
    """Prompt -> mean of 1 - cos over the pairs of its images, of prompts with two or more."""
    found = {}
    for name, vectors in rows.groupby("group", sort=False)["vector"]:
        pairs = [1 - cosine(a, b) for a, b in combinations(map(np.asarray, vectors), 2)]
        if pairs:
            found[str(name)] = float(np.mean(pairs))
    return found


def span(rows: pd.DataFrame, name: str) -> Interval | None:
    """t interval, leaving out one prompt at a time."""
    values = np.array(list(of_prompts(rows).get(name, {}).values()))
    return mean_interval(values, np.arange(len(values)), FARTHEST, 0.0) if len(values) else None


def with_pairs(rows: pd.DataFrame, name: str) -> pd.Series:
    """Rows of prompts with two images or more."""
    return rows["group"].map(rows["group"].value_counts()) > 1
