"""Where the spread of a headline comes from: which prompts, which seeds, and the judge.

The variance of a mean over G prompts with k drawings each is P/G + S/(G k): P between prompts, S
between drawings of one prompt (one-way random effects; Searle, Casella & McCulloch 1992, chapter
3). S/(G k) is the spread between drawings of the same prompts; P/G is the rest. What a judge adds
by not saying the same twice is part of S; it shows where the same images were judged twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Interval, Task
from harmon_eval.metrics.intervals import Repeats, Table
from harmon_eval.metrics.proportions import LEVEL

if TYPE_CHECKING:
    import pandas as pd

NORMAL = 1.96


@dataclass(frozen=True)
class Spread:
    """Variances of the headline, in its units squared: ``prompts``, ``seeds`` (of drawings, with
    what the judge adds) and ``judge`` alone, None where nothing was judged twice.

    ``groups`` prompts with ``drawings`` each, in ``cells`` strata."""

    prompts: float
    seeds: float
    groups: int
    drawings: float
    judge: float | None = None
    cells: int = 1

    def reach(self, groups: float, drawings: float) -> float:
        """Half the width of a 95 % interval with other numbers of prompts and of drawings."""
        between = self.prompts * self.groups
        within = self.seeds * self.groups * self.drawings
        return NORMAL * math.sqrt(between / groups + within / (groups * drawings))

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of prompts and of seeds in the whole variance."""
        whole = self.prompts + self.seeds
        return (self.prompts / whole, self.seeds / whole) if whole else (math.nan, math.nan)

    @property
    def share_interval(self) -> Interval:
        """The 95 % interval of the prompts' share, from that of the ratio of the variances between
        prompts and of seeds (Searle et al., section 3.6), which is exact for normal marks."""
        from scipy import special

        between = self.groups - self.cells
        within = self.groups * (self.drawings - 1)
        if between < 1 or within < 1 or not self.seeds:
            return 0.0, 1.0
        ratio = (self.prompts + self.seeds) / self.seeds
        tail = (1 - LEVEL) / 2
        ends = special.fdtri(between, within, (1 - tail, tail)) / ratio
        return float(np.clip(1 - ends[0], 0, 1)), float(np.clip(1 - ends[1], 0, 1))


def spread(task: Task, rows: pd.DataFrame, name: str, repeats: Repeats) -> Spread | None:
    """Of the metric ``name``; None where no prompt was drawn twice, or where it is no share."""
    if task.intervals is not None or not repeats.drawn:
        return None
    table = Table(task, rows, repeats)
    parts = table.parts(name) if name in table.values else []
    if not parts or not all(np.isfinite(p.seeds).all() and p.repeats.all() for p, _ in parts):
        return None
    top = table.known.top(name) ** 2
    whole = seeds = 0.0
    for part, weight in parts:
        scale = (weight * part.weight) ** 2 * top
        # A cell with a single group shows its seeds only.
        whole += float((scale * np.where(np.isfinite(part.variance), part.variance, 0.0)).sum())
        seeds += float((scale * part.seeds).sum())
    groups = int((np.max([part.sizes for part, _ in parts], axis=0) > 0).sum())
    drawings = float(np.sum([part.repeats.sum() for part, _ in parts])) / groups + 1
    cells = sum(len(part.weight) for part, _ in parts)
    return Spread(max(whole - seeds, 0.0), seeds, groups, drawings, cells=cells)


def judge_variance(task: Task, rows: pd.DataFrame, again: pd.DataFrame, name: str) -> float | None:
    """The variance that the judge adds to the metric, from two markings of the same responses.

    Half the squared differences of what each group adds; None without a common response."""
    same = rows[["id", "response"]].merge(again[["id", "response"]], on=["id", "response"])
    pair = [own[own["id"].isin(same["id"])].sort_values("id") for own in (rows, again)]
    if not len(same):
        return None
    tables = [Table(task, own.reset_index(drop=True), None) for own in pair]
    if any(name not in table.values for table in tables):
        return None
    parts = [table.parts(name) for table in tables]
    top, total = tables[0].known.top(name) ** 2, 0.0
    for (one, weight), (two, _) in zip(*parts, strict=True):
        adds = [part.residuals + part.value * part.sizes for part in (one, two)]
        total += weight**2 * float(((adds[0] - adds[1]) ** 2).sum()) / 2
    # Of those judged twice; all of them add less the more there are.
    return top * total * pair[0]["group"].nunique() / rows["group"].nunique()
