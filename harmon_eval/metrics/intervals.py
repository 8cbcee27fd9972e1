"""Intervals and counts of a task's metrics, following the task's metric declarations."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Count, Interval, Metric, Task, UserError
from harmon_eval.metrics import groups
from harmon_eval.metrics.columns import lean
from harmon_eval.metrics.proportions import LEVEL, Marks, Part, size, wilson

if TYPE_CHECKING:
    import pandas as pd

LEAVE_OUTS = 1000
CHECKS = 5  # parts that are left out in any case
AT_A_TIME = 2**16  # rows


@dataclass(frozen=True)
class Repeats:
    """Which rows are drawings of one prompt: ``drawn`` maps a sample's id to the prompt.

    ``census``: the strata that hold every prompt there is."""

    drawn: Mapping[str, str]
    census: Sequence[str] = ()


def intervals(
    task: Task,
    rows: pd.DataFrame,
    resamples: int = LEAVE_OUTS,
    repeats: Repeats | None = None,
    wanted: Collection[str] | None = None,
) -> dict[str, Interval]:
    """95 % intervals of a task's metrics over its scored rows, for prompts like these.

    A metric that is declared as a share (``Metric.of``) or as a mean of other metrics gets Wilson's
    interval at its effective sample size (see ``metrics.proportions``). Any other gets it from
    leaving out one group at a time, in at most ``resamples`` parts. ``wanted``: only these metrics.
    Raises UserError for a metric that the task returns but does not declare, and for one that is
    not what it is declared to be."""
    if task.intervals is not None:
        return task.intervals(rows, task.summarize)
    table = Table(task, rows, repeats)
    names = [name for name in table.values if wanted is None or name in wanted]
    found = {name: span for name in names if (span := table.interval(name)) is not None}
    others = [name for name in names if table.known[name].interval and table.known.undeclared(name)]
    if others:
        found |= _left_out(table, others, resamples)
    return {name: found[name] for name in names if name in found}


def seed_intervals(task: Task, rows: pd.DataFrame, repeats: Repeats) -> dict[str, Interval]:
    """95 % intervals for these very prompts with other seeds, of every metric that can tell.

    That takes a share (``Metric.of``) whose prompts were all drawn more than once."""
    if task.intervals is not None or not repeats.drawn:
        return {}
    table = Table(task, rows, repeats)
    spans = {name: table.interval(name, seeds=True) for name in table.values}
    return {name: span for name, span in spans.items() if span is not None}


def census(task: Task, rows: pd.DataFrame, repeats: Repeats) -> tuple[str, ...]:
    """The metrics whose prompts are all there are."""
    if task.intervals is not None or not repeats.census:
        return ()
    table = Table(task, rows, repeats)
    parts = {name: table.parts(name) for name in table.values if table.known[name].interval}
    return tuple(n for n, own in parts.items() if own and all(p.census.all() for p, _ in own))


class Table:
    """The rows of a task by group, and what each of its metrics is made of."""

    def __init__(self, task: Task, rows: pd.DataFrame, repeats: Repeats | None) -> None:
        self.task, self.rows, self.known = task, rows, _Known(task)
        self.values = task.summarize(rows)
        self.codes = groups.numbered(rows["group"])
        # Groups are numbered as they appear: each begins where the highest number so far rises.
        first = np.flatnonzero(np.diff(np.maximum.accumulate(self.codes), prepend=-1))
        stratum, names = rows["stratum"].iloc[first].factorize(sort=True, use_na_sentinel=False)
        self.stratum = stratum.astype(np.int32)
        self.strata = np.array(list(map(str, names)))
        self.census = self.in_strata(repeats.census if repeats is not None else ())
        self.sets = _drawings(rows, repeats)
        self._parts: dict[str, Part | None] = {}

    def in_strata(self, strata: Collection[str]) -> np.ndarray:
        """Whether each group (groups,) is in one of these."""
        return np.asarray(np.isin(self.strata, list(strata))[self.stratum])

    def interval(self, name: str, seeds: bool = False) -> Interval | None:
        """None for a metric that has none or that is not declared as a share."""
        metric = self.known[name]
        if metric.span is not None and not seeds:
            return metric.span(self.rows, name)
        if not metric.interval or not (parts := self.parts(name)):
            return None
        shares, weights = [p for p, _ in parts], [w for _, w in parts]
        value = sum(part.value * weight for part, weight in parts)
        top = self.known.top(name)
        if not math.isclose(value * top, self.values[name], rel_tol=1e-6, abs_tol=1e-9):
            raise UserError(
                f"the metric {name!r} is {self.values[name]:g}, but by its declaration "
                f"{value * top:g}: mend `of`, `mean_of`, `rows` or `maximum` in the task's metrics"
            )
        n = size(shares, weights, seeds)
        if n is None:
            return None
        low, high = wilson(value, n)
        return low * top, high * top

    def parts(self, name: str) -> list[tuple[Part, float]]:
        """The shares that the metric is the weighted mean of; empty if that is not known."""
        metric, value = self.known[name], self.values.get(name, math.nan)
        if not math.isfinite(value):
            return []
        if metric.mean_of is None:
            part = self._share(name, metric)
            return [(part, 1.0)] if part else []
        found = []
        for own, weight in metric.mean_of(self.values, name).items():
            scale = weight * self.known.top(own) / self.known.top(name)
            parts = self.parts(own)
            if not parts:
                return []
            found += [(part, scale * share) for part, share in parts]
        return found

    def _share(self, name: str, metric: Metric) -> Part | None:
        if name not in self._parts:
            self._parts[name] = None if metric.of is None else self._marks(name, metric)
        return self._parts[name]

    def _marks(self, name: str, metric: Metric) -> Part | None:
        marks, weights = self._counted(name, metric)
        if not weights.any():
            return None
        sums = self._by_group(weights)
        scatter, repeats = self._scatter(marks, weights)
        return Marks(
            marks=self._by_group(marks),
            weights=sums,
            squares=self._by_group(weights**2),
            stratum=self.stratum,
            binary=_binary(marks, weights),
            fixed=metric.strata
            or _constant(weights, self.stratum[self.codes])
            or _constant(sums, self.stratum),
            scatter=scatter,
            repeats=repeats,
            census=self.census,
        ).part()

    def _counted(self, name: str, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
        """Marks and weights (rows,), 0 for rows that the metric does not count."""
        assert metric.of is not None
        marks, weights = metric.of(self.rows, name)
        if metric.rows is None:
            return marks, weights
        own = metric.rows(self.rows, name).to_numpy(bool)
        return np.where(own, marks, 0.0), np.where(own, weights, 0.0)

    def _by_group(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.codes, weights=values, minlength=len(self.stratum))

    def sums(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Marks and weights of each group (groups,), of a metric that is declared as a share."""
        metric = self.known[name]
        if metric.of is None:
            return None
        marks, weights = self._counted(name, metric)
        return self._by_group(marks), self._by_group(weights)

    def shares(self, name: str) -> np.ndarray | None:
        """How much each group (groups,) counts in the metric; None if that is not known."""
        parts = self.parts(name)
        shares = sum((weight * part.sizes for part, weight in parts), np.zeros(len(self.stratum)))
        return shares / shares.sum() if shares.sum() > 0 else None

    def _scatter(self, marks: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The variance of each group's sum between drawings of its prompts, and its degrees of
        freedom. What is not drawn does not vary; what is drawn once tells nothing."""
        many = len(self.stratum)
        drawn = (self.sets >= 0) & (weights > 0)
        sets, own = self.sets[drawn], marks[drawn]
        count = np.bincount(sets, minlength=self.sets.max(initial=-1) + 1)
        mean = np.divide(
            np.bincount(sets, weights=own, minlength=len(count)),
            count,
            out=np.zeros(len(count)),
            where=count > 0,
        )
        size = count[sets]
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.where(size > 1, (own - mean[sets]) ** 2 * size / (size - 1), np.nan)
            free = (size - 1) / size
        codes = self.codes[drawn]
        found = np.bincount(codes, weights=spread, minlength=many)
        return found, np.bincount(codes, weights=free, minlength=many)


def _binary(marks: np.ndarray, weights: np.ndarray) -> bool:
    """Whether every mark is 0 or its whole weight."""
    return bool((marks * (weights - marks) <= 1e-8 * weights.max() ** 2).all())


def _constant(weights: np.ndarray, stratum: np.ndarray) -> bool:
    """Whether all weights above 0 in a stratum are the same: part of the benchmark's design."""
    own = weights > 0
    most = np.zeros(stratum.max() + 1)
    np.maximum.at(most, stratum[own], weights[own])
    return bool(np.allclose(weights[own], most[stratum[own]]))


def _drawings(rows: pd.DataFrame, repeats: Repeats | None) -> np.ndarray:
    """A number (rows,) for each prompt of a group that was drawn, -1 for what is not drawn."""
    if repeats is None or not repeats.drawn or "id" not in rows:
        return np.full(len(rows), -1, np.int8)
    prompts = rows["id"].map(repeats.drawn)
    codes = (rows["group"].astype(str) + "\0" + prompts).factorize()[0]
    return np.where(prompts.notna(), codes, -1)


# -- any other function of the rows -----------------------------------------------------------


def _left_out(table: Table, names: Sequence[str], most: int) -> dict[str, Interval]:
    """Delete-a-group jackknife within strata (Shao & Tu 1995, section 2.3), then Wilson's interval
    for metrics with a maximum, or t. A metric that no group changes, and that is neither 0 nor its
    maximum, has no interval: its spread is unknown, not zero."""
    rows = lean(table.task, table.rows)
    count = len(table.stratum)
    order = np.argsort(table.stratum, kind="stable")
    part = np.empty(count, np.int32)
    part[order] = np.arange(count) * min(count, most) // count
    held = _without_each(table, rows, part[table.codes], names)
    stratum = table.stratum[order][np.unique(part[order], return_index=True)[1]]
    counted = counts(table.task, table.rows, {name: table.values[name] for name in names})
    found = {}
    for name in names:
        span = _jackknifed(
            table.values[name],
            held[name],
            stratum,
            counted[name].groups,
            table.known[name].maximum,
        )
        if span is not None:
            found[name] = span
    return found


def _without_each(
    table: Table, rows: pd.DataFrame, part: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Of each metric its values (parts,) without the rows of each ``part`` (rows,).

    A metric that is the mean of a column follows from sums. It is taken for one where that gives
    its value on all rows and without each of a few parts; any other is computed for every part."""
    count = int(part.max()) + 1

    def without(number: int) -> dict[str, float]:
        kept = rows[part != number]
        return table.task.summarize(kept) if len(kept) else {}

    exact = {int(n): without(int(n)) for n in np.linspace(0, count - 1, min(count, CHECKS))}
    found: dict[str, np.ndarray] = {}
    for marks in _numbers(rows) if count > CHECKS else ():
        whole, left = _mean_without_each(marks, part)
        for name, scale in ((n, s) for n in names for s in (1.0, 100.0) if n not in found):
            pairs = [(left[number], values.get(name)) for number, values in exact.items()]
            if all(_same(scale * a, b) for a, b in [(whole, table.values[name]), *pairs]):
                found[name] = scale * left
    if others := [name for name in names if name not in found]:
        every = [exact[n] if n in exact else without(n) for n in range(count)]
        found |= {name: np.array([v.get(name, math.nan) for v in every]) for name in others}
    return found


def _numbers(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """The columns of numbers and of verdicts."""
    for column in rows:
        if rows[column].dtype.kind in "biuf" and column not in ("group", "stratum"):
            yield rows[column].to_numpy()


def _mean_without_each(marks: np.ndarray, part: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of the finite marks (rows,), and that without each part (parts,)."""
    first, sums, counts = math.nan, np.zeros(part.max() + 1), np.zeros(part.max() + 1)
    for start in range(0, len(marks), AT_A_TIME):
        own = marks[start : start + AT_A_TIME].astype(np.float64)
        counted = np.isfinite(own)
        if math.isnan(first) and counted.any():
            first = float(own[counted][0])
        # From the first mark, so that equal marks have sums of exactly 0.
        where = part[start : start + AT_A_TIME][counted]
        sums += np.bincount(where, own[counted] - first, len(sums))
        counts += np.bincount(where, minlength=len(sums))
    with np.errstate(divide="ignore", invalid="ignore"):
        left = first + (sums.sum() - sums) / (counts.sum() - counts)
        return float(first + sums.sum() / counts.sum()), left


def _same(a: float, b: float | None) -> bool:
    return b is not None and bool(np.isclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True))


def _jackknifed(
    value: float, held: np.ndarray, stratum: np.ndarray, count: int, top: float | None
) -> Interval | None:
    from scipy import special

    if not math.isfinite(value) or not count:
        return None
    variance = degrees = 0.0
    for code in np.unique(stratum):
        own = held[(stratum == code) & np.isfinite(held)]
        if len(own) > 1:
            variance += (len(own) - 1) / len(own) * float(((own - own.mean()) ** 2).sum())
            degrees += len(own) - 1
    if top is None:
        if not variance:
            return None
        reach = float(special.stdtrit(degrees, (1 + LEVEL) / 2)) * variance**0.5
        return value - reach, value + reach
    share = value / top
    if not 0 <= share <= 1:
        return None
    if not variance:
        if 0 < share < 1 and count > 1:
            return None
        low, high = wilson(share, count)
    else:
        low, high = wilson(share, max(share * (1 - share), 1e-9) / (variance / top**2))
    return low * top, high * top


def counts(task: Task, rows: pd.DataFrame, metrics: Mapping[str, float]) -> dict[str, Count]:
    """How many scored rows, and how many groups, each metric counts."""
    known = _Known(task)
    every = Count(len(rows), groups.count(rows["group"]) if len(rows) else 0)
    found = {}
    for name in metrics:
        if (which := known[name].rows) is None:
            found[name] = every
        else:
            own = rows["group"][which(rows, name).astype(bool)]
            found[name] = Count(len(own), groups.count(own))
    return found


class _Known(dict[str, Metric]):
    """The declaration behind each metric name, looked up once."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __missing__(self, name: str) -> Metric:
        try:
            self[name] = self.task.metric(name)
        except KeyError:
            raise UserError(
                f"the task returns the metric {name!r}, which its `metrics` do not declare"
            ) from None
        return self[name]

    def undeclared(self, name: str) -> bool:
        """Whether nothing says what its interval follows from."""
        metric = self[name]
        return metric.of is None and metric.mean_of is None and metric.span is None

    def top(self, name: str) -> float:
        return self[name].maximum or 1.0
