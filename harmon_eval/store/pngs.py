"""Images as the bytes of PNG files, as a run folder keeps them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from harmon_eval.files.images import to_rgb


class Png(bytes):
    """An image that was encoded already, where it was drawn."""


def png(image: Image.Image) -> Png:
    """Raises Unscorable for values of no known range."""
    if image.mode != "L" or "transparency" in image.info:
        image = to_rgb(image)
    buffer = io.BytesIO()
    # An orientation that came with the file is for the benchmark to apply or to ignore.
    image.save(buffer, "PNG", exif=image.info.get("exif", b""))
    return Png(buffer.getvalue())


def packed(response: Any) -> Any:
    """The response; of an image its file, which is smaller."""
    return png(response) if isinstance(response, Image.Image) else response
