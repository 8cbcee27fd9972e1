"""Format numbers and intervals as text, the same way in every table."""

from __future__ import annotations

import pandas as pd


def number(value: float | None) -> str:
    if value is None or pd.isna(value):
        return "–"
    if abs(value) >= 10:
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"
    return f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """An end that is not stored has no limit."""
    if low is None or pd.isna(low):
        return ""
    return f"[{number(low)}, {'∞' if high is None or pd.isna(high) else number(high)}]"
