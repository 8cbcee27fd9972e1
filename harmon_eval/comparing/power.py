"""What a test can see, and how many groups it would take to see more. ``plan`` and the gate both
ask here, so that they say the same."""

from __future__ import annotations

import math

from scipy import special

from harmon_eval.comparing.bounds import Evidence
from harmon_eval.comparing.paired import Difference

POWER = 0.8
MOST_NEEDED = 10**7  # groups: nobody has more
FINE = 200  # found to half a percent


def seen(value: float, evidence: Evidence, level: float) -> float:
    """The distance from the margin that the test of ``evidence`` at ``level`` sees with 80 % power
    around the estimate ``value``: as for a normal one whose bound is as far away."""
    half = max(value - evidence.lower(level), evidence.upper(level) - value)
    return half * _factor(level)


def _factor(level: float) -> float:
    return float(1 - special.ndtri(POWER) / special.ndtri(level))


def needed_for(
    distance: float, difference: Difference, level: float, margin: float | None = None
) -> int:
    """The fewest groups that see ``distance`` if they look like those of ``difference``. With a
    ``margin`` they can also show a loss of more than it at all. Above MOST_NEEDED if none do."""
    evidence, value = difference.evidence, difference.value
    assert evidence is not None
    if distance <= 0:
        return MOST_NEEDED + 1
    reach = distance / _factor(level)

    def enough(groups: int) -> bool:
        """Whether ``seen`` is at most ``distance``, without the search for the bounds."""
        known = evidence.times(groups / difference.groups)
        if margin is not None and known.least(-margin) > level:
            return False
        return max(known.above(value - reach), known.below(value + reach)) <= level

    # Bounds shrink with the root of the number, or faster.
    guess = difference.groups * (seen(value, evidence, level) / distance) ** 2
    if guess > 2 * MOST_NEEDED:
        return MOST_NEEDED + 1
    most = max(1, math.ceil(guess))
    while not enough(most):
        most *= 2
        if most > 2 * MOST_NEEDED:
            return MOST_NEEDED + 1
    least = most // 2
    while least and enough(least):
        least, most = least // 2, least
    while most - least > max(1, most // FINE):
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def in_words(needed: int) -> str:
    return f"{needed:,}" if needed <= MOST_NEEDED else f"more than {MOST_NEEDED:,}"
