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
    """Whether pictures have a seam down and across their middle.

    In most of a folder's grids hardly any two neighbouring lines of pixels differ as the middle two
    do; in drawings one by one, whose middle may be anything, about half of all do. Some grids have
    no seam that can be seen (one ground behind all four), so the median decides."""
    chosen = files[:: max(len(files) // SEEN, 1)]
    ranks = [rank for file in chosen for rank in _ranks(file)]
    return float(np.median(ranks)) < 0.05


def _ranks(file: Path) -> list[float]:
    """Of rows and of columns, the share of neighbours that differ more than the middle two."""
    try:
        pixels = np.asarray(read_picture(file)).astype(np.int16)
    except Unscorable:
        return [1.0]
    return [_rank(np.moveaxis(pixels, axis, 0)) for axis in (0, 1)]


def _rank(lines: np.ndarray) -> float:
    if len(lines) % SIDE or len(lines) < 2 * SIDE:
        return 1.0
    steps = np.abs(np.diff(lines, axis=0)).mean(axis=(1, 2))
    middle = steps[len(lines) // SIDE - 1]
    return float((steps > middle).mean() + (steps == middle).mean() / 2)
