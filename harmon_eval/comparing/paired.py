"""How much runs on the same samples differ: for each metric a value and the evidence on it.

The pairs are groups of samples (a prompt with its images, an image with its questions). What each
group contributes to a metric is known exactly for means of marks. For other functions of the rows
it is the group's pseudo-value: what the metric loses without the group (Tukey 1958; Efron &
Stein 1981). Both are tested by ``bounds.BoundedMean``. Metrics with replicates (FID, KID) are
tested by the jackknife of the difference.

A difference is a contrast: the sum of the runs' metrics times ``coefficients`` that add up to 0.
Candidate minus baseline is one; so are several seeds of both, and a trend over many checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.comparing import census
from harmon_eval.comparing.bounds import BoundedMean, Evidence, Student
from harmon_eval.comparing.means import Declared, Groups, Mean, means
from harmon_eval.core import Interval, Task
from harmon_eval.metrics.columns import lean
from harmon_eval.metrics.statistics import Replicates

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05  # of each one-sided test
MOST_PARTS = 2000  # groups left out one at a time; of more, several at a time
GAFFKE, JACKKNIFE = "Gaffke", "jackknife t"


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline in one metric. ``evidence`` is None if the spread is unknown.

    ``census``: the prompts are all there are, so it is about other seeds, and its ``groups`` are
    drawings."""

    baseline: float
    candidate: float
    groups: int
    test: str
    evidence: Evidence | None
    census: bool = False

    @property
    def unit(self) -> str:
        """What one group is, in a word."""
        return "drawing" if self.census else "group"

    @property
    def value(self) -> float:
        return self.candidate - self.baseline

    @property
    def p(self) -> float:
        """That there is no difference, two-sided."""
        if self.evidence is None:
            return 1.0
        return min(1.0, 2 * min(self.evidence.above(0), self.evidence.below(0)))

    @property
    def interval(self) -> Interval | None:
        """Both one-sided 95 % bounds, that is, the 90 % interval."""
        if self.evidence is None:
            return None
        return self.evidence.lower(ALPHA), self.evidence.upper(ALPHA)

    @property
    def error(self) -> float:
        """The standard error; NaN if it is unknown."""
        return self.evidence.error if self.evidence else float("nan")


def differences(
    task: Task,
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    wanted: frozenset[str],
    seed: int = 0,
    strata: Sequence[str] = (),
) -> dict[str, Difference]:
    """Differences of the ``wanted`` metrics that both runs have. ``strata``: see ``contrasts``."""
    return contrasts(task, (baseline, candidate), (-1.0, 1.0), wanted, seed, strata)


def contrasts(
    task: Task,
    runs: Sequence[pd.DataFrame],
    coefficients: Sequence[float],
    wanted: frozenset[str],
    seed: int = 0,
    strata: Sequence[str] = (),
) -> dict[str, Difference]:
    """The contrast of the ``wanted`` metrics that all runs have. Where a coefficient is negative
    the run belongs to the baseline. ``strata``: those that hold every prompt there is, in all runs.

    All rows must be scored and belong to the same samples, groups and strata."""
    if not strata:
        return _contrasts(task, runs, coefficients, wanted, seed)
    runs = [Groups.of(rows).rows for rows in runs]
    drawings = [census.by_drawing(rows, strata) for rows in runs]
    prompts = census.of_drawings(task, runs[0], drawings[0], strata, wanted)
    found = _contrasts(task, runs, coefficients, wanted - prompts.keys(), seed)
    own = _contrasts(task, drawings, coefficients, wanted & prompts.keys(), seed)
    for name, difference in own.items():
        count = prompts[name]
        found[name] = (
            replace(difference, census=True)
            if count is None
            else replace(difference, groups=count)  # told in prompts, as in the table of the run
        )
    return {name: found[name] for name in sorted(found)}


def _contrasts(
    task: Task,
    runs: Sequence[pd.DataFrame],
    coefficients: Sequence[float],
    wanted: frozenset[str],
    seed: int,
) -> dict[str, Difference]:
    first = Groups.of(runs[0])
    sides = [first, *(first.beside(rows) for rows in runs[1:])]
    known = [task.summarize(side.rows) for side in sides]
    wanted = frozenset(m for m in wanted if all(np.isfinite(k.get(m, np.nan)) for k in known))
    by = np.asarray(coefficients)
    found: dict[str, Difference] = {}
    if not wanted:
        return found

    def difference(name: str, test: str, evidence: Evidence | None) -> Difference:
        values = np.array([metrics[name] for metrics in known])
        before, after = -by[by < 0] @ values[by < 0], by[by > 0] @ values[by > 0]
        return Difference(float(before), float(after), len(sides[0]), test, evidence)

    if task.replicates:
        parts = [task.replicates(side.rows) for side in sides]
        for name in sorted(wanted.intersection(*parts)):
            student = of_replicates([k[name] for k in known], [p[name] for p in parts], by)
            found[name] = difference(name, JACKKNIFE, student)
        return found
    declared = Declared(task, sides)
    # What remains reads few columns, and texts are slow to copy.
    sides = [replace(side, rows=lean(task, side.rows)) for side in sides]
    for name, mean in means(sides, task.summarize, wanted, seed, declared):
        count = sum(map(len, mean[0].parts))
        evidence = of_means(mean, by, _maximum(task, name))
        found[name] = replace(difference(name, GAFFKE, evidence), groups=count)
    if others := wanted - found.keys():
        pseudo = [
            _pseudo_values(task, side, metrics) for side, metrics in zip(sides, known, strict=True)
        ]
        for name in others:
            shares = declared.shares(name)
            counting = [_counting(p[name], shares) for p in pseudo]
            evidence = _of_pseudo_values(counting, by, _maximum(task, name))
            count = len(first) if shares is None else int(np.count_nonzero(shares))
            found[name] = replace(difference(name, GAFFKE, evidence), groups=count)
    return {name: found[name] for name in sorted(found)}


def of_means(forms: Sequence[Mean], by: np.ndarray, maximum: float = 1.0) -> BoundedMean | None:
    """``forms``: a metric's mean in each run. ``maximum``: the metric's."""
    first = forms[0]
    whole = len(first.parts) == 1 and len(first.parts[0]) == len(first.total)
    # All in order: nothing is copied.
    own = slice(None) if whole else np.concatenate(first.parts)
    scales = (first.scale / (first.count[part].sum() * len(first.parts)) for part in first.parts)
    weights = [s * first.count[part] for s, part in zip(scales, first.parts, strict=True)]
    marks = (mean.scale * mean.total[own] / mean.count[own] for mean in forms)
    return _bounded(np.concatenate(weights), marks, by, maximum)


def _bounded(
    weights: np.ndarray, marks: Iterable[np.ndarray], by: np.ndarray, maximum: float
) -> BoundedMean | None:
    """``marks`` (groups,) of each run. None if nothing says how large a mark may be."""
    values, low, high = np.zeros(len(weights)), 0.0, maximum
    for coefficient, own in zip(by, marks, strict=True):
        values += coefficient * own
        low, high = min(low, float(own.min())), max(high, float(own.max()))
    most = (high - low) * float(by[by > 0].sum())
    return BoundedMean.of(weights, values, most) if most > 0 else None


def _maximum(task: Task, name: str) -> float:
    """The metric's upper end; 0 if it has none or the task does not declare it."""
    try:
        return task.metric(name).maximum or 0.0
    except KeyError:
        return 0.0


def of_replicates(values: Sequence[float], parts: Sequence[Replicates], by: np.ndarray) -> Student:
    """From the values of the runs, with replicates of all of them on the same parts."""
    together = replace(parts[0], values=sum(b * p.values for b, p in zip(by, parts, strict=True)))
    return Student(float(by @ np.array(values)), together.error, together.degrees)


def _pseudo_values(task: Task, side: Groups, known: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Of every metric (parts,), with the metric as their mean. Not finite where a part cannot be
    left out, such as the only group of a stratum."""
    count = min(len(side), MOST_PARTS)
    part = np.arange(len(side)) % count
    without = [task.summarize(side.take(np.flatnonzero(part != n))) for n in range(count)]
    alone = count < 2 or min(np.bincount(side.part)) < 2
    found = {}
    for name, value in known.items():
        left = np.array([each.get(name, np.nan) for each in without])
        found[name] = value + (count - 1) * (left.mean() - left) + (np.nan if alone else 0.0)
    return found


def _counting(values: np.ndarray, share: np.ndarray | None) -> np.ndarray:
    """The pseudo-values (parts,) of a metric in which some groups count, of those groups alone.

    What leaving a group out changes stays the same; that of the others is no evidence."""
    if share is None or len(share) != len(values) or share.all():
        return values
    value, own = float(values.mean()), values[share != 0]
    return np.asarray(value + (len(own) - 1) / (len(values) - 1) * (own - own.mean()))


def _of_pseudo_values(
    values: Sequence[np.ndarray], by: np.ndarray, maximum: float
) -> BoundedMean | None:
    if not np.isfinite(values).all():
        return None
    # Right and wrong groups lie as far apart as a group can move the metric.
    apart = float(np.max(values) - np.min(values))
    found = _bounded(np.ones(len(values[0])), values, by, maximum)
    return found and replace(found, most=max(found.most, apart * float(by[by > 0].sum())))
