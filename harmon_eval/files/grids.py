"""Four drawings in one picture, as DPG-Bench's scorer wants them: two rows of two, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.core import Unscorable
from harmon_eval.files.images import read_picture

SIDE = 2  # drawings in a row
SEEN = 64  # pictures that are looked at to tell whether a folder holds grids


def cell(image: Image.Image, number: int, side: int = SIDE) -> Image.Image:
    """The ``number``-th drawing of a grid. Raises Unscorable where it cannot be cut evenly."""
    width, height = image.width // side, image.height // side
    if (width * side, height * side) != image.size or not width or not height:
        size = f"{image.width} x {image.height}"
        raise Unscorable(f"a grid of {side} x {side} cannot have {size} pixels")
    left, top = number % side * width, number // side * height
    return image.crop((left, top, left + width, top + height))


def are_grids(files: Sequence[Path]) -> bool:
    """Whether most of these pictures have a seam down and across their middle."""
    chosen = files[:: max(len(files) // SEEN, 1)]
    seen = [_seams(file) for file in chosen]
    return 2 * sum(seen) > len(seen)


def _seams(file: Path) -> bool:
    try:
        pixels = np.asarray(read_picture(file)).astype(np.int16)
    except Unscorable:
        return False
    return all(_seam(np.moveaxis(pixels, axis, 0)) for axis in (0, 1))


def _seam(lines: np.ndarray) -> bool:
    """Whether the middle two of these lines of pixels differ more than nearly all neighbours do.

    Lines come in blocks of 8 in a JPEG, whose edges count as any other."""
    if len(lines) % SIDE or len(lines) < 2 * SIDE:
        return False
    steps = np.abs(np.diff(lines, axis=0)).mean(axis=(1, 2))
    middle = len(lines) // SIDE - 1
    # A drawing's own outlines are few; a picture as a whole has its middle anywhere.
    return bool(steps[middle] > 0 and (steps > steps[middle]).mean() < 0.03)
