"""Images as the bytes of PNG files, as a run folder keeps them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


class Png(bytes):
    """An image that was encoded already, where it was drawn."""


def png(image: Image.Image) -> Png:
    if image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    # An orientation that came with the file is for the benchmark to apply or to ignore.
    image.save(buffer, "PNG", exif=image.info.get("exif", b""))
    return Png(buffer.getvalue())


def packed(response: Any) -> Any:
    """The response; of an image its file, which is smaller."""
    return png(response) if isinstance(response, Image.Image) else response
