"""A stream of checkpoints against one fixed baseline: few false alarms over all of it.

Each checkpoint is tested against the same baseline, and so is the trend up to it. A stream plans
with so many checkpoints, and each look spends an equal share of the 5 %: by Bonferroni's inequality
any false alarm happens in at most 5 % of streams, however the looks depend on each other. They do:
all share the baseline's luck. Therefore evidence must not be multiplied from checkpoint to
checkpoint, as an e-process of independent samples does (Shafer et al. 2011; Waudby-Smith & Ramdas
2024): given the baseline's marks, an equal checkpoint differs from them by the baseline's own
error, for which the product grows without limit. benchmarks/gate_power.py shows both.

Everything follows from the stored runs, the baseline and the settings. An order of arrival, a
second evaluation or a lost history change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.comparing.margins import Settings
from harmon_eval.comparing.paired import Difference, contrasts
from harmon_eval.comparing.runs import TaskPair
from harmon_eval.comparing.verdict import CANNOT_TELL, Comparison, Line, compare, judge, known

if TYPE_CHECKING:
    import pandas as pd

PLANNED = 100
LOOKS = 2  # at each checkpoint: its level and the trend
FEWEST = 3  # checkpoints with a trend
TREND = " (trend)"


def look(settings: Settings, planned: int) -> Settings:
    """The settings of each look of a stream of at most ``planned`` checkpoints."""
    return replace(settings, looks=LOOKS * planned)


def slope(count: int) -> np.ndarray:
    """Coefficients (count,) of the change from the first to the last of so many values, as the
    straight line of least squares has it. It goes by order: steps may be of any size."""
    place = np.arange(count) - (count - 1) / 2
    return np.asarray(place * (count - 1) / (place @ place))


def trend(pair: TaskPair, runs: Sequence[pd.DataFrame]) -> Difference | None:
    """The change of the pair's headline over ``runs``, in order, on the samples that all have."""
    common = set.intersection(*(set(rows["id"]) for rows in runs))
    if len(runs) < FEWEST or not common or pair.task is None:
        return None
    same = [rows[rows["id"].isin(common)].reset_index(drop=True) for rows in runs]
    name, by = pair.headline, slope(len(same)).tolist()
    strata = pair.census if len(common) == len(pair.baseline) else ()
    found = contrasts(pair.task, same, by, frozenset({name}), strata=strata).get(name)
    if found is None:
        return None
    middle = float(np.mean([pair.task.summarize(rows)[name] for rows in same]))
    ends = middle - found.value / 2, middle + found.value / 2
    return replace(found, baseline=ends[0], candidate=ends[1])


@dataclass(frozen=True)
class Look:
    """A checkpoint's run against the baseline: ``pairs`` of tasks, and its place after it."""

    pairs: tuple[TaskPair, ...]
    rank: int


def judge_look(
    now: Look, before: Mapping[str, Sequence[pd.DataFrame]], settings: Settings, planned: int
) -> Comparison:
    """``before``: by task the rows of the earlier checkpoints that can be compared, in order."""
    each = look(settings, planned)
    found = compare(now.pairs, each)
    if now.rank > planned:
        reason = (
            f"checkpoint {now.rank} after the baseline, but {planned} were planned and the 5 % are "
            "spent: move the baseline (--baseline), or plan with more from the start (--planned)"
        )
        spent = [
            replace(line, verdict=CANNOT_TELL, reason=reason, fails=False) for line in found.lines
        ]
        return replace(found, lines=tuple(spent))
    return replace(found, lines=(*found.lines, *_trends(now, before, each)))


def _trends(now: Look, before: Mapping[str, Sequence[pd.DataFrame]], each: Settings) -> list[Line]:
    """A trend decides only where it is a loss: that there is none proves nothing."""
    family = []
    for pair in now.pairs:
        if pair.reasons or pair.task is None:
            continue
        found = trend(pair, [pair.baseline, *before.get(pair.name, ()), pair.candidate])
        if found:
            family.append((pair, pair.headline + TREND, known(pair, found)))
    margins = each.no_worse_than or each.tolerance
    lines = judge(family, True, Settings(margins, {}, looks=each.looks))
    return [replace(line, decides=line.fails) for line in lines]


def boundary(line: Line, higher_is_better: bool) -> float:
    """The value below which (for a distance: above which) the candidate would have been worse."""
    if line.difference is None or line.interval is None:
        return float("nan")
    sign = 1 if higher_is_better else -1
    high = line.interval[1] if higher_is_better else -line.interval[0]
    return line.difference.candidate - sign * (high + line.margin)
