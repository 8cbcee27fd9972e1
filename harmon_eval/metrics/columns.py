"""Which columns of the marks are read to add them up: few of many, so that no text is copied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from harmon_eval.core import Task
from harmon_eval.metrics.floors import LEAST, MOST

if TYPE_CHECKING:
    import pandas as pd

ADDED = ("group", "stratum", "unscored")  # columns that every row has, beside its id
ALL = ("*",)


def lean(task: Task, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with only the columns that ``summarize`` reads, so that no text is copied."""
    if task.columns == ALL:
        return rows
    return rows[
        [c for c in rows if c in ("group", "stratum") or _any(_patterns(task.columns), str(c))]
    ]


def reads(task: Task, once: bool) -> Callable[[str], bool]:
    """Whether a column is read to add up rows: for metrics, intervals, bounds and floors. Of a task
    that does not name its ``columns`` all are, but for the stamp of the response. ``once``: rows
    that are not resampled."""
    if task.columns == ALL:
        return lambda name: name != "response"
    named = _named(task, once)
    ends = (LEAST, MOST, *(f"{name}:" for name in task.floors))

    def read(name: str) -> bool:
        if name in ADDED:
            return True
        if name in ("id", "response"):  # which no pattern stands for
            return name in named
        return _any(_patterns(named), name) or name.startswith(ends)

    return read


def texts(task: Task, once: bool) -> list[str]:
    """Of the columns that every row has, those that are read as texts: the task names them, or
    names none, as others' tasks may."""
    named = _named(task, once)
    return [name for name in ADDED if name in named or task.columns == ALL]


def _named(task: Task, once: bool) -> tuple[str, ...]:
    return (*task.columns, *(task.columns_once if once else ()))


def _patterns(columns: Iterable[str]) -> list[str]:
    return [".*".join(map(re.escape, column.split("*"))) for column in columns]


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
