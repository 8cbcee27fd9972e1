"""Random crops of MAE's linear probe, each a function of image name and number only.

facebookresearch/mae @ efb2a80 (arXiv 2111.06377, A.1): a box of 8 to 100 % of the area and a ratio
of 3/4 to 4/3, drawn once and clipped to the image instead of tried ten times, then a flip by a
coin. The crop becomes a square here and takes the encoder's own preparation from there.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageOps

from harmon_eval.store.digests import sha256_of

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels; the ratio is uniform in its logarithm."""
    area = width * height * rng.uniform(*SCALE)
    ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
    wide = min(max(round(math.sqrt(area * ratio)), 1), width)
    high = min(max(round(math.sqrt(area / ratio)), 1), height)
    left = int(rng.integers(width - wide + 1))
    top = int(rng.integers(height - high + 1))
    return left, top, left + wide, top + high


def random_view(image: Image.Image, name: str, view: int) -> Image.Image:
    """The ``view``-th crop of the RGB image ``name``: a square as wide as its longer side."""
    seed = int(sha256_of(f"{name}\0{view}")[:16], 16)
    rng = np.random.default_rng(seed)
    box = crop_box(*image.size, rng)
    side = max(box[2] - box[0], box[3] - box[1])
    crop = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    return ImageOps.mirror(crop) if rng.random() < 0.5 else crop


def centre_crop(image: Image.Image, side: int) -> Image.Image:
    """A square of ``side`` pixels as in MAR's own preparation, which is ADM's (arXiv 2105.05233):
    halved with a box filter while twice as large as needed, bicubic to the shorter side, cropped.
    """
    image = image.convert("RGB")
    while min(image.size) >= 2 * side:
        half = image.width // 2, image.height // 2
        image = image.resize(half, Image.Resampling.BOX)
    scale = side / min(image.size)
    size = round(image.width * scale), round(image.height * scale)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
