"""The mark of a single sample, where a task has one: a verdict, or a share from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Metric, Task

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("correct", "score")  # columns that are the mark of a sample


@dataclass(frozen=True)
class Grades:
    """Marks by sample id, from 0 to 1 and the more the better.

    ``verdicts``: each is right or wrong, and nothing between."""

    values: Mapping[str, float] = field(default_factory=dict)
    verdicts: bool = False


def marks_of(task: Task | None, rows: pd.DataFrame) -> tuple[str, dict[str, float]]:
    """What the mark of a sample is called, and the marks by sample id.

    It is the column ``correct`` or ``score``; the headline, or else the first metric, that is a
    plain mean over all samples; or whether the answer that was read is the label. Unscored samples
    have none."""
    name, values, scored = _marks(task, rows)
    marks = _by_id(scored, values)
    return (name, marks) if marks else ("", {})


def grades_of(task: Task | None, rows: pd.DataFrame, headline: str = "") -> Grades:
    """How good each sample is, for those who sort and filter: its mark, or else what it adds to
    the ``headline``, which is the name of the metric in the run."""
    name, values, scored = _marks(task, rows)
    if task is not None and name not in ("", *COLUMNS) and not task.metric(name).higher_is_better:
        name = ""
    if name == "score":
        top = np.nanmax(values, initial=1.0)
        return Grades(_by_id(scored, values / top))
    if name:
        graded = _by_id(scored, values)
        if all(0 <= value <= 1 for value in graded.values()):
            return Grades(graded, _yes_or_no(scored, values))
    if task is not None and (shares := _shares(task.main, headline, scored)) is not None:
        return Grades(_by_id(scored, shares))
    return Grades()


def _marks(task: Task | None, rows: pd.DataFrame) -> tuple[str, np.ndarray, pd.DataFrame]:
    """Name, marks and the scored rows that have them."""
    scored = rows[rows["unscored"].isna()].reset_index(drop=True).infer_objects()
    own = next((column for column in COLUMNS if column in scored), None)
    if own is not None:
        return own, _numbers(scored[own]), scored
    if task is not None and (found := _mean(task, scored)) is not None:
        return *found, scored
    if {"label", "parsed"} <= set(scored):
        return "correct", (scored["label"] == scored["parsed"]).to_numpy(float), scored
    return "", np.full(len(scored), np.nan), scored


def _by_id(rows: pd.DataFrame, values: np.ndarray) -> dict[str, float]:
    pairs = zip(rows["id"], values, strict=True)
    return {str(sample): float(value) for sample, value in pairs if np.isfinite(value)}


def _numbers(column: pd.Series) -> np.ndarray:
    import pandas as pd

    values: np.ndarray = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    return values


def _mean(task: Task, rows: pd.DataFrame) -> tuple[str, np.ndarray] | None:
    for metric in (task.main, *task.metrics):
        if metric.of is None or metric.rows is not None or "*" in metric.name or not len(rows):
            continue
        try:
            marks, weights = metric.of(rows, metric.name)
        except KeyError:  # rows of another version
            continue
        if np.all(weights == 1):
            return metric.name, np.asarray(marks, np.float64)
    return None


def _shares(metric: Metric, name: str, rows: pd.DataFrame) -> np.ndarray | None:
    """Each row's part of what it could add to a metric; nan for rows that it does not count."""
    if metric.of is None or not metric.higher_is_better or not metric.names(name) or rows.empty:
        return None
    try:
        marks, weights = (np.asarray(each, np.float64) for each in metric.of(rows, name))
        counted = np.ones(len(rows), bool)
        if metric.rows is not None:
            counted = metric.rows(rows, name).to_numpy(bool)
    except KeyError:  # rows of another version
        return None
    counted = counted & (weights > 0)
    shares: np.ndarray = np.divide(marks, weights, out=np.full(len(rows), np.nan), where=counted)
    return shares


def _yes_or_no(rows: pd.DataFrame, values: np.ndarray) -> bool:
    """Whether the marks are verdicts by what they are made of, whatever these samples got."""
    flags = [rows[name].to_numpy(float) for name in rows.select_dtypes(bool)]
    if {"label", "parsed"} <= set(rows):
        flags.append((rows["label"] == rows["parsed"]).to_numpy(float))
    return any(np.array_equal(flag, values) for flag in flags)
