"""Numbers and intervals as people read them."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    if abs(value) >= 10:
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"
    return f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    return "" if low is None or math.isnan(low) else f"[{number(low)}, {number(high)}]"
