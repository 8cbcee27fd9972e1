"""How many samples people have to mark for a corrected number with an interval as narrow as wanted.

With n of T samples marked, the width of the interval is that of people alone on n samples, times
the root of 1 - r^2 (T - n) / T: r is the correlation of people's and the judge's marks
(Angelopoulos et al. 2023; the task's total is fixed, so that the judge alone marks T - n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harmon_eval.core import UserError
from harmon_eval.people.calibration import Calibration

NORMAL = 1.96


@dataclass(frozen=True)
class MarksNeeded:
    """``needed`` of ``total`` samples; None if all of them give an interval that is wider, of
    ``least``. ``explained``: r^2, the share of people's variance that the judge explains."""

    needed: int | None
    total: int
    least: float
    explained: float
    basis: str


def marks_needed(
    width: float, total: int, top: float, pilot: Calibration | None = None
) -> MarksNeeded:
    """``width`` in the metric's units, whose maximum is ``top``. Without a ``pilot`` the worst
    case is taken: half of the marks right, and a judge that says nothing.

    Raises UserError for a width that is not above 0 and below ``top``, and for a pilot whose
    headline was not corrected."""
    if not 0 < width < top:
        raise UserError(f"--human {width:g}: give a width above 0 and below {top:g}")
    basis = "worst case: half of the marks right, and a judge that says nothing"
    one, explained = 2 * NORMAL * top / 2, 0.0  # the width with a single mark
    if pilot is not None:
        widths = {}
        for number in pilot.numbers:
            for kind in ("people:", "calibrated:"):
                if kind in number.metric:
                    widths[kind] = number.width
        if len(widths) < 2 or not widths["people:"]:
            raise UserError(
                "; ".join(pilot.remarks) or "the pilot's marks do not vary: mark more of it"
            )
        marked = pilot.marked
        one = widths["people:"] * math.sqrt(marked)
        shorter = min(widths["calibrated:"] / widths["people:"], 1.0)
        explained = (1 - shorter**2) * pilot.total / max(pilot.total - marked, 1)
        explained = min(explained, 1.0)
        basis = f"{marked:,} marks of the pilot, of which the judge explains {explained:.0%}"
    alone = (one / width) ** 2  # marks without a judge
    least = one / math.sqrt(total)
    if alone > total:
        return MarksNeeded(None, total, least, explained, basis)
    needed = alone * (1 - explained) / (1 - alone * explained / total) if alone < total else total
    return MarksNeeded(min(max(math.ceil(needed), 1), total), total, least, explained, basis)
