"""Format numbers and intervals as text, the same way in every table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping


def counted(count: int, noun: str) -> str:
    """``1 group``, ``2 groups``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def counted_are(count: int, noun: str) -> str:
    """``1 group is``, ``2 groups are``."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"


def rounded_up(value: float) -> str:
    """Three digits of a number above 0, never less than it: what is enough stays enough."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.ceil(round(value / unit, 6)) * unit:.3g}"


def number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    if abs(value) >= 10:
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.2f}"
    return f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """An end that is not stored has no limit."""
    if low is None or math.isnan(low):
        return ""
    return f"[{number(low)}, {'∞' if high is None or math.isnan(high) else number(high)}]"


def same_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    """Counts of reasons, the most frequent first. Those that differ only in numbers, paths or
    quoted words are counted together, under the first of them."""
    found: dict[str, list[str]] = {}
    for reason in reasons:
        found.setdefault(kind_of(reason), []).append(reason)
    counts = {same[0]: sum(reasons[reason] for reason in same) for same in found.values()}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def kind_of(reason: str) -> str:
    """The reason without what belongs to one sample."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|[^\s:;,]*[/\d][^\s:;,]*", "#", reason[:1000])
