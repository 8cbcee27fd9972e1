"""RISEBench: how the judge's three scores of a result add up.

Protocol: PhoenixZ810/RISEBench @ 5f22651, gpt_eval.py.
"""

from __future__ import annotations

import math

LOGICAL = "logical_reasoning"
CATEGORIES = ("temporal_reasoning", "causal_reasoning", "spatial_reasoning", LOGICAL)
ASPECTS = ("consistency", "reasoning", "plausibility")
HIGH = 5.0


def judged_aspects(category: str, consistency_free: bool) -> tuple[str, ...]:
    """What the judge is asked about: a logical puzzle need not look plausible, and where another
    picture is asked for, nothing has to stay."""
    left = {"plausibility"} if category == LOGICAL else set()
    left |= {"consistency"} if consistency_free else set()
    return tuple(aspect for aspect in ASPECTS if aspect not in left)


def score(category: str, consistency: float, reasoning: float, plausibility: float) -> float:
    """From 1 to 5, of scores from 1 to 5; NaN stands for what is not judged.

    A reasoning of 1 halves it, down to 1. The original takes a missing flag for
    "consistency-free", and so leaves consistency out of nearly all of its scores."""
    if category == LOGICAL:
        found = 0.3 * consistency + 0.7 * reasoning
    elif math.isnan(consistency):
        found = 0.8 * reasoning + 0.2 * plausibility
    else:
        found = 0.3 * consistency + 0.5 * reasoning + 0.2 * plausibility
    return max(1.0, found / 2) if reasoning == 1 else found


def original_score(
    category: str, consistency: float, reasoning: float, plausibility: float
) -> float:
    """What the original's script gives: without consistency but in logical puzzles."""
    own = consistency if category == LOGICAL else math.nan
    return score(category, own, reasoning, plausibility)


def complete(consistency: float, reasoning: float, plausibility: float) -> bool:
    """Whether everything that is judged has the full score."""
    known = [s for s in (consistency, reasoning, plausibility) if not math.isnan(s)]
    return all(value == HIGH for value in known)


def points(mean: float) -> float:
    """A mean from 1 to 5 in points from 0 to 100."""
    return 25 * (mean - 1)
