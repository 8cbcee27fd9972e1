"""Metrics that are means of marks, and what each group of samples contributes to them.

For these metrics the test knows each group's difference and its weight exactly. Tasks need not
declare which metrics are means: a formula is accepted only if it equals ``summarize`` on all runs
and on resamples and mixtures of them. Where a task does declare what a metric counts, the formula
must count the same: where all marks agree, the mean of any samples has the same value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from harmon_eval.core import Summarize, Task
from harmon_eval.metrics.intervals import Table
from harmon_eval.store.rows import rising

CHECKS = 4
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
        if rising(rows["group"], or_equal=True) and rising(rows["id"]):
            rows = rows.reset_index(drop=True)  # a large table is not copied
        else:
            rows = rows.sort_values(["group", "id"], kind="stable", ignore_index=True)
        codes, names = rows["group"].factorize()
        starts = np.searchsorted(codes, np.arange(len(names) + 1))
        part, strata = pd.factorize(rows["stratum"].to_numpy()[starts[:-1]], sort=True)
        return cls(rows, starts, part, tuple(map(str, strata)))

    def __len__(self) -> int:
        return len(self.part)

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

    @property
    def value(self) -> float:
        return float(self.of(np.arange(len(self.total))[None])[0])

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


def declared(
    task: Task, runs: Sequence[Groups], wanted: frozenset[str]
) -> tuple[dict[str, tuple[Mean, ...]], dict[str, np.ndarray]]:
    """What the task declares: the form of every metric that is a share (``Metric.of``) in each run,
    and how much each group (groups,) counts in a metric in the first run, where that is known."""
    tables = [Table(task, side.rows, None) for side in runs]
    forms: dict[str, tuple[Mean, ...]] = {}
    shares: dict[str, np.ndarray] = {}
    for name in wanted:
        if not any(metric.names(name) for metric in task.metrics):
            continue
        if (known := tables[0].shares(name)) is not None:
            shares[name] = known
        sums = [table.sums(name) for table in tables]
        everywhere = (np.arange(len(runs[0])),)
        scale = tables[0].known.top(name)
        means = tuple(Mean(*own, everywhere, scale) for own in sums if own is not None)
        if len(means) == len(runs):
            forms[name] = means
    return forms, shares


def mark_columns(rows: pd.DataFrame) -> list[str]:
    """Columns of numbers or booleans that have no missing values."""
    kinds = pd.api.types
    return [
        str(name)
        for name in rows.columns
        if name not in BOOKKEEPING
        and (kinds.is_bool_dtype(rows[name]) or kinds.is_numeric_dtype(rows[name]))
        and bool(np.isfinite(rows[name].to_numpy(np.float64)).all())
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
    known_forms: Mapping[str, tuple[Mean, ...]] = MappingProxyType({}),
    shares: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> dict[str, tuple[Mean, ...]]:
    """The wanted metrics that are means, each with its ``Mean`` in every run.

    Each is checked on resamples of all runs and on mixtures of the first with each other one.
    Mixtures differ even if one run is constant. ``declared`` gives the last two arguments."""
    rng = np.random.default_rng(seed)
    first, *others = runs
    picks = np.concatenate([np.arange(len(first))[None], first.resampled(rng, CHECKS)])
    swaps = rng.random((CHECKS, len(first))) < 0.5
    known = [[summarize(side.take(p)) for p in picks] for side in runs]
    known += [[summarize(mixed(first, other, swap)) for swap in swaps] for other in others]

    def equal(name: str, forms: tuple[Mean, ...]) -> bool:
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

    found = {name: _own(forms) for name, forms in known_forms.items() if equal(name, forms)}
    columns = set.intersection(*(set(mark_columns(side.rows)) for side in runs))
    for column in sorted(columns):
        for forms in zip(*(_forms(side, column) for side in runs), strict=True):
            stratum = forms[0][0]
            named = wanted if stratum is None else wanted & {stratum}
            for name in named - found.keys():
                for scale in (1.0, 100.0):
                    scaled = tuple(replace(mean, scale=scale) for _, mean in forms)
                    if name in found or not np.allclose(
                        scaled[0].shares, shares.get(name, scaled[0].shares)
                    ):
                        continue
                    if equal(name, scaled):
                        found[name] = scaled
    return found


def _own(forms: tuple[Mean, ...]) -> tuple[Mean, ...]:
    """The same without the groups that the metric does not count."""
    counted = np.flatnonzero(np.all([mean.count > 0 for mean in forms], axis=0))
    return tuple(replace(mean, parts=(counted,)) for mean in forms)


def _forms(groups: Groups, column: str) -> Iterator[tuple[str | None, Mean]]:
    """Candidate means: of samples, or of any or all in a group; each pooled over all groups,
    averaged over strata, or within one stratum."""
    marks = groups.rows[column].to_numpy(np.float64)
    starts, each = groups.starts[:-1], np.diff(groups.starts).astype(np.float64)
    kinds = [(np.add.reduceat(marks, starts), each)]
    kinds += [
        (reduce.reduceat(marks, starts), np.ones_like(each)) for reduce in (np.maximum, np.minimum)
    ]
    strata = tuple(np.flatnonzero(groups.part == n) for n in range(len(groups.names)))
    for total, count in kinds:
        yield None, Mean(total, count, (np.arange(len(groups)),))
        yield None, Mean(total, count, strata)
        for name, own in zip(groups.names, strata, strict=True):
            yield name, Mean(total, count, (own,))
