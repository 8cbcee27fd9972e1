"""The size of an edited image beside that of its source: no two models agree on it."""

from __future__ import annotations

import math
from pathlib import Path

from harmon_eval.core import Row
from harmon_eval.files.images import size_of

TOLERANCE = 0.02  # of the logarithm of width / height: sizes are rounded to multiples of 16


def aspect_kept(source: tuple[int, int], result: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have the same aspect ratio, but for rounding."""
    ratio = (result[0] / result[1]) / (source[0] / source[1])
    return abs(math.log(ratio)) <= TOLERANCE


def sizes(source: Path, result: Path) -> Row:
    """``source_size`` and ``result_size`` as "WIDTHxHEIGHT", and ``aspect_kept``.

    Raises Unscorable for what is no picture."""
    given, made = size_of(source), size_of(result)
    return {
        "source_size": f"{given[0]}x{given[1]}",
        "result_size": f"{made[0]}x{made[1]}",
        "aspect_kept": aspect_kept(given, made),
    }
