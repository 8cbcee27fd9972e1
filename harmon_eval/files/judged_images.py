"""Images in the form in which a protocol shows them to its judge.

A copy lies in the cache under the digest of what it was made from, so a judge's requests name
files like all others, and their bytes say in which form the judge saw them.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from harmon_eval.files.cache import cache_folder
from harmon_eval.files.images import read_picture, size_of
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.durable import write_whole

QUALITY = 75  # Pillow's own, which VIEScore leaves as it is


def as_jpeg(path: Path, size: tuple[int, int] | None = None) -> Path:
    """A JPEG file of quality 75 of an image, brought to ``size`` (width, height) if it is given.

    It is resized by Pillow's bicubic filter, whatever its aspect ratio. Raises Unscorable for what
    is no picture."""
    size = size or size_of(path)
    name = f"{_digest(path)[:40]}-{size[0]}x{size[1]}.jpg"
    place = cache_folder() / "judged" / name[:2] / name
    if not place.is_file():
        image = read_picture(path)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        write_whole(place, buffer.getvalue())
    return place


def _digest(path: Path) -> str:
    """Of an image file's bytes; of the image in a table's row, of the table and the row."""
    if path.parent.is_file():
        return sha256_of(f"{sha256_of(path.parent)}/{path.name}")
    return sha256_of(path)
