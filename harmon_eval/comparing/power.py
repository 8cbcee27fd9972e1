"""What a test can see, and how many groups it would take to see more."""

from __future__ import annotations

import math

from scipy import special

from harmon_eval.comparing.bounds import Evidence
from harmon_eval.comparing.paired import ALPHA, Difference

POWER = 0.8
MOST_NEEDED = 10**7  # groups: nobody has more


def smallest_detectable(error: float, size: int = 1) -> float:
    """The distance from the margin that a one-sided test at ALPHA / ``size`` sees with 80 % power,
    for estimates with this standard ``error``."""
    return float(special.ndtri(POWER) - special.ndtri(ALPHA / size)) * error


def seen(value: float, evidence: Evidence, level: float) -> float:
    """The same for the test of ``evidence`` around the estimate ``value``: as for a normal one
    whose bound at ``level`` is as far away."""
    half = max(value - evidence.lower(level), evidence.upper(level) - value)
    return half * float(1 - special.ndtri(POWER) / special.ndtri(level))


def needed_for(distance: float, difference: Difference, level: float) -> int:
    """Groups that would see ``distance`` if they look like those of ``difference``."""
    evidence, value = difference.evidence, difference.value
    assert evidence is not None
    least, most = 1.0, 1.0
    if distance > 0:  # bounds shrink with the root of the number, or faster
        most = max(1.0, (seen(value, evidence, level) / distance) ** 2)
    if distance <= 0 or difference.groups * most > MOST_NEEDED:
        return MOST_NEEDED + 1
    while most > least * 1.02 and most > 1:
        middle = (least * most) ** 0.5
        enough = seen(value, evidence.times(middle), level) <= distance
        least, most = (least, middle) if enough else (middle, most)
    return math.ceil(difference.groups * most)


def in_words(needed: int) -> str:
    return f"{needed:,}" if needed <= MOST_NEEDED else f"more than {MOST_NEEDED:,}"
