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


def number(value: float | None, *beside: float | None) -> str:
    """A value, with as many digits as the numbers ``beside`` it, such as the ends of its interval.

    The largest of them decides: three decimals below 10, two below 1,000, else one. Whole numbers
    from 10 on have none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.{_decimals(value, *beside)}f}"


def interval(low: float | None, high: float | None, *beside: float | None) -> str:
    """With the digits of the value ``beside`` it. An end that is not stored has no limit."""
    if low is None or math.isnan(low):
        return ""
    end = "∞" if high is None or math.isnan(high) else number(high, low, *beside)
    return f"[{number(low, high, *beside)}, {end}]"


def estimate(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval, where it has one: ``0.950 [0.913, 0.972]``."""
    return f"{number(value, low, high)} {interval(low, high, value)}".rstrip()


def signed(value: float, *beside: float | None) -> str:
    """A difference, with the digits of its interval."""
    text = number(abs(value), *beside)
    return f"{'-' if value < 0 else '+'}{text}"


def _decimals(*values: float | None) -> int:
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(known, default=0.0)
    if largest < 10:
        return 3
    if all(float(value).is_integer() for value in known):
        return 0
    return 2 if largest < 1000 else 1


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
