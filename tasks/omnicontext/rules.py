"""What OmniContext's judge is asked, how it is read, and how scores add up.

Protocol: VectorSpaceLab/OmniGen2 @ 0f72fa9, omnicontext/.
"""

from __future__ import annotations

import math
from pathlib import Path

from harmon_eval.core import Row
from harmon_eval.files.images import size_of
from harmon_eval.files.judged_images import as_jpeg
from harmon_eval.replies import viescore

MAX_TOKENS = 1400
PLACEHOLDER = "<instruction>"
ASPECTS = {"following": "PF", "subjects": "SC"}
RUBRICS = {name + end: PLACEHOLDER for name in ASPECTS for end in ("", "_scene")}
MOST_PIXELS, STEP = 1024 * 1024, 16


def shown(source: Path) -> Path:
    """A source as the judge sees it: at most 1024 x 1024 pixels, sides of whole 16s, as JPEG."""
    width, height = size_of(source)
    shrunk = min(1.0, math.sqrt(MOST_PIXELS / (width * height)))
    sides = (int(side * shrunk) // STEP * STEP for side in (width, height))
    wide, high = (max(STEP, side) for side in sides)
    return as_jpeg(source, (wide, high))


def parse(reply: str) -> float | None:
    """One score from 0 to 10; None for a reply without, or with several."""
    found = viescore.parse(reply)
    return found.values[0] if found and len(found.values) == 1 else None


def original_guesses(reply: str) -> bool:
    """Whether the original would draw a random number for a judge that always answers so."""
    try:
        found = viescore.original_omnicontext(reply)
    except (ValueError, RecursionError):
        return True
    return found is viescore.Unread.RATE_LIMIT


def original_stops(reply: str) -> bool:
    """Whether the original reads something else than a number, and its script stops at it."""
    if original_guesses(reply):
        return False
    found = viescore.original_omnicontext(reply)
    score = found.get("score") if isinstance(found, dict) else None
    return isinstance(score, bool) or not isinstance(score, int | float)


def scores(following: float, subjects: float) -> Row:
    """PF, SC and O of one image, 0 to 10."""
    return {"PF": following, "SC": subjects, "O": math.sqrt(following * subjects)}
