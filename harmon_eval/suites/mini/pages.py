"""Pages of the mini suite: words written into a grid of cells, black on white, and read from it.

Letters and digits are those of DejaVu Sans Mono, which matplotlib ships. The Chinese characters are
ten of a few strokes, drawn here, since no package that is needed anyway ships such a font.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = (11, 20)  # width and height of a cell in pixels
COLUMNS, ROWS, MARGIN = 24, 8, 8
SIZE = (COLUMNS * CELL[0] + 2 * MARGIN, ROWS * CELL[1] + 2 * MARGIN)
FONT_SIZE, DARK, WRONG = 18, 128, 10  # WRONG: pixels of a cell that may differ from its character
LETTERS = string.ascii_letters + string.digits + "é"
# Nine rows of nine pixels each, from the left.
_STROKES = {
    "一": (0, 0, 0, 0, 511, 0, 0, 0, 0),
    "二": (0, 124, 0, 0, 0, 0, 0, 511, 0),
    "三": (0, 511, 0, 0, 124, 0, 0, 0, 511),
    "十": (16, 16, 16, 16, 511, 16, 16, 16, 16),
    "口": (0, 511, 257, 257, 257, 257, 257, 511, 0),
    "日": (254, 130, 130, 130, 254, 130, 130, 130, 254),
    "田": (511, 273, 273, 273, 511, 273, 273, 273, 511),
    "工": (0, 511, 16, 16, 16, 16, 16, 511, 0),
    "土": (16, 16, 16, 254, 16, 16, 16, 16, 511),
    "山": (16, 16, 16, 273, 273, 273, 273, 511, 0),
}
CHINESE = tuple(_STROKES)


@lru_cache(maxsize=1)
def font() -> ImageFont.FreeTypeFont:
    spec = find_spec("matplotlib")
    assert spec is not None and spec.origin is not None, "matplotlib is a dependency"
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(folder / "DejaVuSansMono.ttf", FONT_SIZE)


@lru_cache(maxsize=128)
def _cell(character: str) -> np.ndarray:
    """A character in its cell, (height, width) uint8; an empty one for what the font lacks."""
    width, height = CELL
    if (strokes := _STROKES.get(character)) is not None:
        cell = np.full((height, width), 255, np.uint8)
        for row, bits in enumerate(strokes):
            cell[row + 5, 1:10][[digit == "1" for digit in f"{bits:09b}"]] = 0
        return cell
    image = Image.new("L", CELL, 255)
    if character in LETTERS:
        ImageDraw.Draw(image).text((0, -1), character, 0, font())
    return np.asarray(image)


def page(lines: Sequence[str]) -> np.ndarray:
    """The lines as a page (H, W, 3) uint8, long ones broken between words.

    Raises ValueError for more than a page holds."""
    rows = [row for line in lines for row in _broken(line)]
    if len(rows) > ROWS:
        raise ValueError(f"{len(rows)} lines: a page holds {ROWS}")
    found = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, character in enumerate(row):
            _at(found, x, y)[:] = _cell(character)
    return np.repeat(found[:, :, None], 3, axis=2)


def _broken(line: str) -> list[str]:
    """A line in rows of at most ``COLUMNS``; words that are longer are broken too."""
    rows = [""]
    for word in line.split():
        if rows[-1] and len(rows[-1]) + 1 + len(word) > COLUMNS:
            rows.append("")
        rows[-1] += f" {word}" if rows[-1] else word
        while len(rows[-1]) > COLUMNS:
            rows[-1:] = [rows[-1][:COLUMNS], rows[-1][COLUMNS:]]
    return rows


def _at(whole: np.ndarray, x: int, y: int) -> np.ndarray:
    left, top = MARGIN + x * CELL[0], MARGIN + y * CELL[1]
    return whole[top : top + CELL[1], left : left + CELL[0]]


def read_page(image: np.ndarray) -> str:
    """The lines of an image (H, W, 3) uint8, resized to a page. A cell that is like no character is
    a space."""
    sized = Image.fromarray(image).convert("L").resize(SIZE, Image.Resampling.BICUBIC)
    ink = np.asarray(sized) < DARK
    characters = [*LETTERS, *CHINESE]
    known = np.stack([_cell(c) < DARK for c in characters])
    lines = []
    for y in range(ROWS):
        cells = np.stack([_at(ink, x, y) for x in range(COLUMNS)])
        wrong = (cells[:, None] != known[None]).sum(axis=(2, 3))  # (columns, characters)
        best = wrong.argmin(axis=1)
        written = [
            characters[b] if w[b] <= min(WRONG, known[b].sum() // 2) else " "
            for b, w in zip(best, wrong, strict=True)
        ]
        lines.append("".join(written).strip())
    return "\n".join(filter(None, lines))
