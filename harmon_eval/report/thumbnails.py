"""Small copies of image files inside the page, each file once."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from harmon_eval.core import Unscorable
from harmon_eval.files.images import read_picture

QUALITY, FULL_QUALITY = 82, 88
LARGEST = 1600  # pixels of the longest side of an image in full size


@dataclass(frozen=True)
class Thumbnail:
    """``index`` in the page's list of images; ``width`` and ``height`` of the original, pixels."""

    index: int
    width: int
    height: int


class Thumbnails:
    """``side``: the longest side in pixels; smaller images keep their size."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.uris: list[str] = []
        self.full: dict[int, str] = {}
        self._known: dict[Path, Thumbnail | None] = {}

    def add(self, file: Path) -> Thumbnail | None:
        """The image's place on the page; None for a file that is no sound picture."""
        if file not in self._known:
            self._known[file] = self._make(file)
        return self._known[file]

    def keep_full(self, files: Iterable[Path], most: int) -> int:
        """Keep these images in full size as well, until they take ``most`` bytes; those that are no
        larger than their thumbnail need nothing. Returns how many did not fit."""
        taken = left_out = 0
        for file in dict.fromkeys(files):
            known = self._known.get(file)
            if known is None or max(known.width, known.height) <= self.side:
                continue
            if taken >= most:
                left_out += 1
                continue
            self.full[known.index] = _uri(read_picture(file).copy(), LARGEST, FULL_QUALITY)
            taken += len(self.full[known.index])
        return left_out

    def _make(self, file: Path) -> Thumbnail | None:
        try:
            image = read_picture(file).copy()
        except Unscorable:
            return None
        size = image.size
        self.uris.append(_uri(image, self.side, QUALITY))
        return Thumbnail(len(self.uris) - 1, *size)


def _uri(image: Image.Image, side: int, quality: int) -> str:
    """The image, which may be changed, as WebP with ``side`` pixels at most."""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
