"""Reading image files that somebody else made."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from harmon_eval.core import Embed, Unscorable
from harmon_eval.files.views import random_view

# A drawing of 8192 x 8192 is already beyond every model; more is a decompression bomb.
MAX_PIXELS = 2**26
TABLES = (".parquet", ".arrow")  # FILE.parquet/17 is the image of a row, not a file


def open_image(path: Path) -> Image.Image:
    """Decode an image file completely, or the image of a table's row (``image_tables``).

    Raises Unscorable for what is no sound picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(_of_row(path) if path.parent.suffix in TABLES else path)
        if image.width * image.height > MAX_PIXELS:
            raise Unscorable(f"{path.name} has {image.width} x {image.height} pixels: refused")
        image.load()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise Unscorable(f"{path.name} cannot be read as an image: {error}") from None
    except Image.DecompressionBombError as error:
        raise Unscorable(f"{path.name} is refused: {error}") from None
    return image


def _of_row(path: Path) -> io.BytesIO:
    from harmon_eval.files.image_tables import read_row

    return io.BytesIO(read_row(path))


def viewed(request: Embed) -> Image.Image:
    """What a model shall embed: the whole image, or one of its random crops. Raises Unscorable."""
    image = open_image(request.image)
    return random_view(image, request.image.name, request.view) if request.view else image


def read_rgb(path: Path, exif_orientation: bool = False) -> np.ndarray:
    """(H, W, 3) uint8. FID tools ignore the EXIF orientation, GenEval applies it."""
    image = open_image(path)
    if exif_orientation:
        image = ImageOps.exif_transpose(image)
    return np.asarray(image.convert("RGB"))
