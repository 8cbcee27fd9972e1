"""Small copies of image files inside the page, each file once."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from harmon_eval.core import Unscorable
from harmon_eval.files.images import read_picture

QUALITY = 82


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
        self._known: dict[Path, Thumbnail | None] = {}

    def add(self, file: Path) -> Thumbnail | None:
        """The image's place on the page; None for a file that is no sound picture."""
        if file not in self._known:
            self._known[file] = self._make(file)
        return self._known[file]

    def _make(self, file: Path) -> Thumbnail | None:
        try:
            image = read_picture(file).copy()
        except Unscorable:
            return None
        size = image.size
        image.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=QUALITY)
        self.uris.append("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode())
        return Thumbnail(len(self.uris) - 1, *size)
