"""Which columns of the marks are read to add them up: few of many, so that no text is copied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from harmon_eval.core import Task
from harmon_eval.metrics.floors import LEAST, MOST

if TYPE_CHECKING:
    import pandas as pd

ADDED = ("id", "group", "stratum", "unscored")  # columns that every row has


def lean(task: Task, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with only the columns that ``summarize`` reads, so that no text is copied."""
    if task.columns == ("*",):
        return rows
    return rows[
        [c for c in rows if c in ("group", "stratum") or _any(_patterns(task.columns), str(c))]
    ]


def reads(task: Task, once: bool) -> Callable[[str], bool]:
    """Whether a column is read to add up rows: for metrics, intervals, bounds and floors. Of a task
    that does not name its ``columns`` all are, but for the stamp of the response. ``once``: rows
    that are not resampled."""
    named = (*task.columns, *(task.columns_once if once else ()))
    ends = (LEAST, MOST, *(f"{name}:" for name in task.floors))

    def read(name: str) -> bool:
        if name in ADDED:
            return True
        return name != "response" and (_any(_patterns(named), name) or name.startswith(ends))

    return read


def _patterns(columns: Iterable[str]) -> list[str]:
    return [".*".join(map(re.escape, column.split("*"))) for column in columns]


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
