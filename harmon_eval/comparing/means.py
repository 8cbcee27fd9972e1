"""Metrics that are means of marks, and what each group of samples contributes to them.

For these metrics the test knows each group's difference and its weight exactly. Tasks need not
declare which metrics are means: a formula is accepted only if it equals ``summarize`` on all runs
and on resamples and mixtures of them. Where a task does declare what a metric counts, the formula
must count the same: where all marks agree, the mean of any samples has the same value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from harmon_eval.core import Summarize, Task
from harmon_eval.metrics.groups import numbered
from harmon_eval.metrics.intervals import Table
from harmon_eval.store.rows import rising

CHECKS = 4
CHECKED = 2**15  # groups that a resample or a mixture is made of
KINDS = 3  # of means (see ``_form``)
BOOKKEEPING = ("id", "group", "stratum", "response", "unscored")


@dataclass(frozen=True)
class Groups:
    """Rows sorted by group. ``starts`` (groups + 1,) holds where each group's rows begin; ``part``
    (groups,) is the index of each group's stratum in ``names``."""

    rows: pd.DataFrame
    starts: np.ndarray
    part: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Groups:
        keys = [name for name in ("group", "id") if name in rows]
        if all(rising(rows[name], or_equal=name == "group") for name in keys):
            rows = rows.reset_index(drop=True)  # a large table is not copied
        else:
            rows = rows.sort_values(keys, kind="stable", ignore_index=True)
        codes = numbered(rows["group"])
        first = np.append(True, codes[1:] != codes[:-1])[: len(codes)]
        starts = np.append(np.flatnonzero(first).astype(np.int32), np.int32(len(codes)))
        part, strata = rows["stratum"].iloc[starts[:-1]].factorize(sort=True)
        return cls(rows, starts, part.astype(np.int32), tuple(map(str, strata)))

    def beside(self, rows: pd.DataFrame) -> Groups:
        """Other rows of the same samples, whose groups are held once if they are the same."""
        other = Groups.of(rows)
        same = other.names == self.names and np.array_equal(other.starts, self.starts)
        if not (same and np.array_equal(other.part, self.part)):
            return other
        return replace(self, rows=other.rows)

    def __len__(self) -> int:
        return len(self.part)

    def few(self, seed: int) -> np.ndarray:
        """Indices of about ``CHECKED`` groups, of each stratum as large a share; of fewer all."""
        rng, share = np.random.default_rng(seed), min(1.0, CHECKED / max(len(self), 1))
        if share == 1:
            return np.arange(len(self))
        strata = (np.flatnonzero(self.part == number) for number in range(len(self.names)))
        own = [rng.choice(s, math.ceil(share * len(s)), replace=False) for s in strata]
        return np.sort(np.concatenate(own))

    def only(self, picked: np.ndarray) -> Groups:
        """With these groups alone, in their order."""
        if len(picked) == len(self):
            return self
        rows = self.take(picked)
        starts = np.append(0, np.cumsum(self.starts[picked + 1] - self.starts[picked]))
        return Groups(rows, starts, self.part[picked], self.names)

    def resampled(self, rng: np.random.Generator, resamples: int) -> np.ndarray:
        """Group indices (resamples, groups), drawn with replacement within each stratum."""
        picked = np.empty((resamples, len(self)), dtype=np.int64)
        for number in range(len(self.names)):
            own = np.flatnonzero(self.part == number)
            picked[:, own] = rng.choice(own, (resamples, len(own)))
        return picked

    def take(self, picked: np.ndarray) -> pd.DataFrame:
        """The rows of these groups; a group picked twice counts as two groups."""
        lengths = self.starts[picked + 1] - self.starts[picked]
        ends = np.cumsum(lengths)
        index = np.arange(ends[-1]) + np.repeat(self.starts[picked] - (ends - lengths), lengths)
        return self.rows.take(index).assign(group=np.repeat(np.arange(len(picked)), lengths))


@dataclass(frozen=True)
class Mean:
    """A mean of marks over groups. ``total`` and ``count`` (groups,) are the sum and the number of
    each group's marks. ``parts`` are the sets of groups whose means are averaged: either one set
    with all groups, or one set per stratum."""

    total: np.ndarray
    count: np.ndarray
    parts: tuple[np.ndarray, ...]
    scale: float = 1.0

    def of(self, picked: np.ndarray) -> np.ndarray:
        """The metric (resamples,) for ``picked`` (resamples, groups) from ``Groups.resampled``."""
        with np.errstate(invalid="ignore"):  # of a resample without a group that counts: NaN
            shares = [  # one resample at a time, so that one alone is held
                [self.total[one[own]].sum() / self.count[one[own]].sum() for one in picked]
                for own in self.parts
            ]
        return np.asarray(self.scale * np.mean(shares, axis=0))

    def only(self, picked: np.ndarray) -> Mean:
        """Of these groups alone; ``picked`` rises."""
        if len(picked) == len(self.total):
            return self
        parts = tuple(np.flatnonzero(np.isin(picked, own)) for own in self.parts)
        return replace(self, total=self.total[picked], count=self.count[picked], parts=parts)

    @property
    def value(self) -> float:
        shares = [self.total[own].sum() / self.count[own].sum() for own in self.parts]
        return float(self.scale * np.mean(shares))

    @property
    def weights(self) -> np.ndarray:
        """Weights (groups,) such that the metric is the sum of weights times totals."""
        weights = np.zeros(len(self.total))
        for own in self.parts:
            weights[own] = self.scale / (self.count[own].sum() * len(self.parts))
        return weights

    @property
    def shares(self) -> np.ndarray:
        """How much each group (groups,) counts; they add up to 1."""
        return np.asarray(self.weights * self.count / self.scale)


class Declared:
    """What a task declares of its metrics: their forms, and how much groups count in them."""

    def __init__(self, task: Task, runs: Sequence[Groups]) -> None:
        self._task, self._runs = task, runs
        self._tables: dict[int, Table] = {}

    def _table(self, number: int) -> Table:
        if number not in self._tables:
            self._tables[number] = Table(self._task, self._runs[number].rows, None)
        return self._tables[number]

    def _knows(self, name: str) -> bool:
        return any(metric.names(name) for metric in self._task.metrics)

    def forms(self, name: str) -> tuple[Mean, ...]:
        """Of a metric that is a share (``Metric.of``), in each run; empty for another."""
        if not self._knows(name) or self._task.metric(name).of is None:
            return ()
        everywhere = (_all(len(self._runs[0])),)
        sums = (self._table(number).sums(name) for number in range(len(self._runs)))
        scale = self._table(0).known.top(name)
        return tuple(Mean(*own, everywhere, scale) for own in sums if own is not None)

    def shares(self, name: str) -> np.ndarray | None:
        """How much each group (groups,) counts in the first run; None where that is not known."""
        if not self._knows(name):
            return None
        metric = self._task.metric(name)
        if metric.of is None and metric.mean_of is None:
            return None
        return self._table(0).shares(name)


def _all(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


def mark_columns(rows: pd.DataFrame) -> list[str]:
    """Columns of numbers or booleans that have no missing values."""
    kinds = pd.api.types
    return [
        str(name)
        for name in rows.columns
        if name not in BOOKKEEPING
        and (
            rows[name].dtype in ("bool", "int8", "int16", "int32", "int64")
            or (
                (kinds.is_bool_dtype(rows[name]) or kinds.is_numeric_dtype(rows[name]))
                and bool(np.isfinite(rows[name].to_numpy(np.float64)).all())
            )
        )
    ]


def mixed(ours: Groups, theirs: Groups, swap: np.ndarray) -> pd.DataFrame:
    """The rows of ``ours``, but those of ``theirs`` for groups where ``swap`` (groups,) is true."""
    here = np.repeat(swap, np.diff(ours.starts))
    rows = pd.concat([ours.rows[~here], theirs.rows[here]], ignore_index=True)
    return rows.infer_objects()


def means(
    runs: Sequence[Groups],
    summarize: Summarize,
    wanted: frozenset[str],
    seed: int = 0,
    declared: Declared | None = None,
) -> Iterator[tuple[str, tuple[Mean, ...]]]:
    """The wanted metrics that are means, each with its ``Mean`` in every run, one after the other.

    Each is checked on all rows, and on resamples of all runs and mixtures of the first with each
    other one, of at most about ``CHECKED`` groups. Mixtures differ even if one run is constant."""
    rng = np.random.default_rng(seed)
    index = runs[0].few(seed)
    first, *others = few = [side.only(index) for side in runs]
    picks = np.concatenate([np.arange(len(first))[None], first.resampled(rng, CHECKS)])
    swaps = rng.random((CHECKS, len(first))) < 0.5
    whole = [summarize(side.rows) for side in runs]
    known = [[summarize(side.take(p)) for p in picks] for side in few]
    known += [[summarize(mixed(first, other, swap)) for swap in swaps] for other in others]

    def equal(name: str, forms: Sequence[Mean]) -> bool:
        own, *rest = forms
        if not np.isclose(own.value, known[0][0].get(name, np.nan), rtol=1e-9):
            return False
        values = [mean.of(picks) for mean in forms]
        for mean in rest:
            totals = [np.where(swap, mean.total, own.total) for swap in swaps]
            values.append(np.array([replace(own, total=total).value for total in totals]))
        return all(
            np.isclose(value, metrics.get(name, np.nan), rtol=1e-9, equal_nan=True)
            for found, expected in zip(values, known, strict=True)
            for value, metrics in zip(found, expected, strict=True)
        )

    def everywhere(name: str, forms: Sequence[Mean]) -> bool:
        pairs = zip(forms, whole, strict=True)
        return all(np.isclose(mean.value, m.get(name, np.nan), rtol=1e-9) for mean, m in pairs)

    left = set(wanted)
    for name in sorted(wanted):
        forms = declared.forms(name) if declared else ()
        small = [mean.only(index) for mean in forms]
        if forms and equal(name, small) and everywhere(name, forms):
            left.discard(name)
            yield name, _own(forms)
    columns = set.intersection(*(set(mark_columns(side.rows)) for side in runs))
    for column, kind, part in product(sorted(columns), range(KINDS), range(-2, len(first.names))):
        named = left if part < 0 else left & {first.names[part]}
        small = [_form(side, column, kind, part) for side in few] if named else []
        for name, scale in product(sorted(named), (1.0, 100.0)):
            if name not in left or not equal(name, [replace(m, scale=scale) for m in small]):
                continue
            forms = tuple(replace(_form(side, column, kind, part), scale=scale) for side in runs)
            shares = declared.shares(name) if declared else None
            if everywhere(name, forms) and (shares is None or np.allclose(forms[0].shares, shares)):
                left.discard(name)
                yield name, forms


def _own(forms: tuple[Mean, ...]) -> tuple[Mean, ...]:
    """The same without the groups that the metric does not count."""
    counted = np.flatnonzero(np.all([mean.count > 0 for mean in forms], axis=0))
    return tuple(replace(mean, parts=(counted,)) for mean in forms)


def _form(groups: Groups, column: str, kind: int, part: int) -> Mean:
    """A candidate mean: of samples (``kind`` 0), or of any or all in a group; pooled over all
    groups (``part`` -2), averaged over strata (-1), or within one stratum."""
    marks, starts = groups.rows[column].to_numpy(), groups.starts[:-1]
    if kind:
        total = (np.maximum, np.minimum)[kind - 1].reduceat(marks, starts).astype(np.float64)
        count = np.ones(len(groups), np.int32)
    else:
        total = np.add.reduceat(marks, starts, dtype=np.float64)
        count = np.diff(groups.starts)
    if part == -2:
        return Mean(total, count, (_all(len(groups)),))
    strata = range(len(groups.names)) if part == -1 else (part,)
    return Mean(total, count, tuple(np.flatnonzero(groups.part == n) for n in strata))
