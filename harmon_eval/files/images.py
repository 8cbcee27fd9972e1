"""The one reader of pictures that somebody else made: drawings, references, what is asked about.

Whatever a file holds becomes 8-bit RGB by the same rules everywhere:

- 16 bit: the upper eight of each value, as in libpng; 32-bit integers up to 65,535 in the same way.
- Float: 0 to 1 is scaled to 255, 0 to 255 is rounded; any other range is refused.
- A palette is looked up, and what is transparent is put on white.
- The EXIF orientation is applied.
- The first picture of several.

FID is the exception (``as_stored``): its tools drop alpha and ignore the orientation.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from harmon_eval.core import Embed, Unscorable
from harmon_eval.files.in_memory import InMemory
from harmon_eval.files.views import random_view

T = TypeVar("T")
# The only formats that are opened. Pillow knows more, and hands EPS to Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
BACKGROUND = (255, 255, 255)  # behind what is transparent
# A drawing of 8192 x 8192 is already beyond every model; more is a decompression bomb.
MAX_PIXELS = 2**26
# In memory at a time: 32 pictures of 2048 x 2048.
MAX_BATCH_PIXELS = 2**27
TABLES = (".parquet", ".arrow")  # FILE.parquet/17 is the image of a row, not a file
ORIENTATION = 0x0112  # the EXIF tag


class TooLarge(Unscorable):
    """A picture of more pixels than are read."""


def open_image(path: Path) -> Image.Image:
    """Decode an image file completely, or the image of a table's row (``image_tables``).

    It has the mode and the orientation of the file: ``read_picture`` gives what it shows. Raises
    Unscorable for what is no sound picture."""
    return _loaded(_begun(path), path.name)


def decode_image(data: bytes, name: str, most: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of an image file, as ``open_image`` does, if it has at most ``most`` pixels.

    Raises Unscorable, and TooLarge for more."""
    return _loaded(_opened(io.BytesIO(data), name), name, most)


def _loaded(image: Image.Image, name: str, most: int = MAX_PIXELS) -> Image.Image:
    if image.width * image.height > most:
        raise TooLarge(
            f"{name} has {image.width} x {image.height} pixels, and at most {most:,} are read"
        )
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise Unscorable(f"{name} cannot be read as an image: {error}") from None
    return image


def _begun(path: Path) -> Image.Image:
    """The image with its header read. Raises Unscorable."""
    if (known := _in_memory(path)) is not None:
        image = known.copy()
        image.format = known.format
        return image
    of_row = path.parent.suffix in TABLES
    if not of_row and path.exists() and not path.is_file():  # a pipe would be waited for
        raise Unscorable(f"{path.name} cannot be read as an image: it is no file")
    try:
        source = _of_row(path) if of_row else path
    except OSError as error:
        raise Unscorable(f"{path.name} cannot be read as an image: {error}") from None
    return _opened(source, path.name)


def _in_memory(path: Path) -> Image.Image | None:
    return path.picture if isinstance(path, InMemory) else None


def _opened(source: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(source, formats=FORMATS)
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise Unscorable(f"{name} cannot be read as an image: it is none of {known}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise Unscorable(f"{name} cannot be read as an image: {error}") from None
    except Image.DecompressionBombError as error:
        raise TooLarge(f"{name} is refused: {error}") from None


def _of_row(path: Path) -> io.BytesIO:
    from harmon_eval.files.image_tables import read_row

    return io.BytesIO(read_row(path))


def read_picture(path: Path) -> Image.Image:
    """What an image file shows: 8-bit RGB, upright. Raises Unscorable."""
    return _named(path, upright)


def read_rgb(path: Path, as_stored: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 of what an image file shows.

    ``as_stored`` drops alpha and ignores the orientation, as FID's tools do. Raises Unscorable."""
    return np.asarray(_named(path, _without_alpha if as_stored else upright))


def viewed(request: Embed) -> Image.Image:
    """What a model shall embed: the whole image, or one of its random crops. Raises Unscorable."""
    image = read_picture(request.image)
    return random_view(image, request.image.name, request.view) if request.view else image


def _named(path: Path, read: Callable[[Image.Image], Image.Image]) -> Image.Image:
    image = open_image(path)
    try:
        return read(image)
    except Unscorable as error:
        raise Unscorable(f"{path.name} {error}") from None


# -- pixels --------------------------------------------------------------------------------------


def upright(image: Image.Image) -> Image.Image:
    """8-bit RGB, turned as its EXIF orientation says. Raises Unscorable."""
    turned, image = _turned(image), to_rgb(image)
    return ImageOps.exif_transpose(image) if turned else image


def plain(image: Image.Image) -> bool:
    """Whether any reader sees in its file what ours does: one picture of 8 bit, opaque, not to be
    turned."""
    opaque = not image.has_transparency_data and not getattr(image, "is_animated", False)
    return image.mode in ("RGB", "L", "P") and opaque and not _turned(image)


def _turned(image: Image.Image) -> bool:
    return _orientation(image) != 1


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error):
        return 1  # broken EXIF says nothing
    return value if isinstance(value, int) else 0


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB, what is transparent on white; an RGB image is returned as it is.

    Raises Unscorable for values that have no known range."""
    image = _eight_bit(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        own = image.convert("RGBA")
        whole = Image.new("RGB", own.size, BACKGROUND)
        whole.paste(own, mask=own.getchannel("A"))
        # The orientation is found in what comes with the image.
        whole.info.update({k: v for k, v in image.info.items() if k != "transparency"})
        return whole
    return _converted(image)


def _without_alpha(image: Image.Image) -> Image.Image:
    return _converted(_eight_bit(image))


def _converted(image: Image.Image) -> Image.Image:
    try:
        return image.convert("RGB")
    except ValueError as error:  # such as LAB
        raise Unscorable(f"has pixels of mode {image.mode}: save it as RGB ({error})") from None


def _eight_bit(image: Image.Image) -> Image.Image:
    """Values of 16 or 32 bits or float as grey of 8 bits; others as they are."""
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise Unscorable("has NaN or infinite values: save it in 8 bit")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if image.mode == "F":
        if low < 0 or high > 255:
            raise Unscorable(
                f"has values from {low:g} to {high:g}: scale it to 0 to 1, or 0 to 255"
            )
        grey = np.rint(values * 255 if high <= 1 else values).astype(np.uint8)
    else:
        if low < 0 or high > 65535:
            raise Unscorable(f"has values from {low:g} to {high:g}: save it in 8 or 16 bit")
        grey = (values.astype(np.uint32) >> 8).astype(np.uint8)
    made = Image.fromarray(grey)
    made.info.update({k: v for k, v in image.info.items() if k != "transparency"})
    return made


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of what an image file shows, upright, by its header. Raises Unscorable."""
    with _begun(path) as image:
        width, height = image.size
        sideways = _orientation(image) in (5, 6, 7, 8)
    return (height, width) if sideways else (width, height)


# -- how much at a time --------------------------------------------------------------------------


def pixels_of(path: Path) -> int:
    """Pixels by the file's header; 0 for what cannot be read, which takes no memory."""
    if (known := _in_memory(path)) is not None:
        return known.width * known.height
    try:
        with _begun(path) as image:
            return image.width * image.height
    except Unscorable:
        return 0


def portions(
    items: Sequence[T], files: Callable[[T], Sequence[Path]], limit: int = MAX_BATCH_PIXELS
) -> Iterator[Sequence[T]]:
    """``items`` in order, as many at a time as have no more than ``limit`` pixels in their files.

    One that has more comes alone."""
    known: dict[Path, int] = {}
    start = total = 0
    for place, item in enumerate(items):
        own = 0
        for file in files(item):
            if file not in known:
                known[file] = min(pixels_of(file), MAX_PIXELS)
            own += known[file]
        if place > start and total + own > limit:
            yield items[start:place]
            start, total = place, 0
        total += own
    if start < len(items):
        yield items[start:]
