"""Masks for ``Metric.rows``: they say which rows a metric counts, if it does not count all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


Mask = Callable[["pd.DataFrame", str], "pd.Series"]


def of(column: str, part: Callable[[str], Any] = str) -> Mask:
    """Rows whose ``column`` equals the metric's name, or the part of it that ``part`` returns."""
    return lambda rows, name: rows[column] == part(name)


def after(mark: str, column: str) -> Mask:
    """Rows whose ``column`` equals the part of the metric's name after the first ``mark``."""
    return of(column, lambda name: name.partition(mark)[2])


def before(mark: str, column: str) -> Mask:
    """Rows whose ``column`` equals the part of the metric's name before the last ``mark``."""
    return of(column, lambda name: name.rpartition(mark)[0])


def having(column: str, *values: Any) -> Mask:
    """Rows whose ``column`` is one of ``values``, whatever the metric's name."""
    return lambda rows, name: rows[column].isin(values)


def known(column: str) -> Mask:
    """Rows that have a value in ``column``."""
    return lambda rows, name: rows[column].notna()


def both(*masks: Mask) -> Mask:
    """Rows that all of these masks select."""

    def mask(rows: pd.DataFrame, name: str) -> pd.Series:
        import pandas as pd

        found = pd.Series(True, index=rows.index)
        for own in masks:
            found &= own(rows, name)
        return found

    return mask
