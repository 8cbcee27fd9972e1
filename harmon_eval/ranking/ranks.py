"""Which models of a column differ: what the best does not beat, and everybody's rank interval.

Two values differ if the interval of their difference leaves out 0. It follows from the two
intervals (MOVER: Zou & Donner 2008), widened so that all differences of the column hold together
with 95 % (Bonferroni). A model's rank then lies between one more than the models that beat it, and
the models that it does not beat (Mogstad, Romano, Shaikh & Wilhelm 2024). Runs on the same prompts
differ less than their intervals suggest, so this claims too little rather than too much;
``compare`` tests a pair of runs sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05


@dataclass(frozen=True)
class Rank:
    """``best``: no value of the column is shown to be better. The rank lies from ``first`` to
    ``last``, of ``among`` values."""

    best: bool
    first: int
    last: int
    among: int

    def __str__(self) -> str:
        place = f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"
        return f"rank {place}"


def ranks(column: pd.DataFrame) -> dict[str, Rank]:
    """By model: of measured values with an interval, if there are two of them or more.

    ``column`` holds model, kind, value, low, high and higher_is_better of one metric."""
    ends = column[["value", "low", "high"]].astype(float)
    known = column[np.isfinite(ends).all(axis=1) & (column["kind"] == "measured")]
    if len(known) < 2:
        return {}
    value, low, high = known[["value", "low", "high"]].to_numpy(float).T
    if not known["higher_is_better"].iloc[0]:
        value, low, high = -value, -high, -low
    pairs = len(known) * (len(known) - 1) / 2
    wider = special.ndtri(1 - ALPHA / 2 / pairs) / special.ndtri(1 - ALPHA / 2)
    below, above = wider * (value - low), wider * (high - value)
    reach = np.sqrt(below[:, None] ** 2 + above[None] ** 2)
    beats = value[:, None] - value[None] > reach  # (models, models)
    first, last = 1 + beats.sum(axis=0), len(known) - beats.sum(axis=1)
    leader = int(np.argmax(value))
    return {
        model: Rank(not beats[leader, n], int(first[n]), int(last[n]), len(known))
        for n, model in enumerate(known["model"])
    }
