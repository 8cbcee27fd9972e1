"""Turn image files or arrays into features, following the chosen FID protocol.

A protocol turns an image (H, W, 3) uint8 into (side, side, 3) float32 pixels in 0..255:

- ``playground``: clean-fid's ``clean`` mode (Parmar et al. 2022, arXiv 2104.11222): each channel
  as a float image, antialiased bicubic, clipped, never rounded. The MJHQ-30K card uses it.
- ``gigagan256``: centre crop, Lanczos to 256 in 8 bit, then as above (which enlarges it to 299).
- ``pytorch-fid``: bilinear without antialiasing, and a network input of 2x/255 - 1.
- ``clean``, ``legacy_pytorch``: clean-fid's names of ``playground`` and ``pytorch-fid``.
- ``legacy_tensorflow``: TensorFlow 1's bilinear, whose pixels begin at their corner, as in the
  first FID, ADM's evaluator and torch-fidelity.
- ``squash``: bicubic in Pillow to the network's square, in 8 bit (dgm-eval's FD-DINOv2).
- ``square``: the middle square, then as ``squash`` (cmmd-pytorch).

Scores from different protocols are not comparable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.files.images import read_rgb

# Small, so that decoding and the network overlap even though only a few images are marked at once.
FEATURE_BATCH = 16

# clean-fid's list. Matching is case-sensitive: "PNG" is found and "Png" is not.
SUFFIXES = {
    *(".bmp", ".jpg", ".jpeg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp", ".npy"),
    *(".JPEG", ".JPG", ".PNG"),
}


class FeatureNet(Protocol):
    """A feature network: (N, 3, side, side) float32 pixels in 0..255 -> (N, d) float32.

    ``name`` becomes part of the metric's name; ``identity`` holds the hash of the weights. A
    network that is always fed in the same way says so in ``protocol``, otherwise it is empty."""

    name: str
    identity: str
    side: int

    def __call__(self, pixels: np.ndarray) -> np.ndarray: ...

    def __hash__(self) -> int: ...


def clean_resize(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) in 0..255 -> (side, side, 3) float32: antialiased bicubic, clipped, unrounded."""
    channels = [Image.fromarray(c.astype(np.float32)) for c in np.moveaxis(image, -1, 0)]
    resized = [channel.resize((side, side), Image.Resampling.BICUBIC) for channel in channels]
    pixels = np.stack([np.asarray(channel) for channel in resized], axis=-1)
    return pixels.clip(0, 255, out=pixels)


def centre_crop_256(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (256, 256, 3) uint8: the middle square, then Lanczos (GigaGAN's FID)."""
    height, width = image.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = Image.fromarray(image[top : top + short, left : left + short])
    return np.asarray(square.resize((256, 256), Image.Resampling.LANCZOS))


def _bilinear_weights(
    size: int, side: int, centre: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper source index, and the upper one's weight. A pixel's place is i + centre."""
    at = np.arange(side, dtype=np.float32) + np.float32(centre)
    source = (at * np.float32(size / side) - np.float32(centre)).clip(0)
    low = source.astype(np.int64)
    high = np.minimum(low + 1, size - 1)
    return low, high, source - low


def bilinear_resize(image: np.ndarray, side: int, centre: float = 0.5) -> np.ndarray:
    """(H, W, 3) -> (side, side, 3) float32, clipped: two taps per axis, however much it shrinks.

    ``centre`` 0 is TensorFlow 1's: output pixel i is at i times the scale."""
    low, high, weight = _bilinear_weights(image.shape[0], side, centre)
    weight = weight[:, None, None]
    rows = image[low] * (1 - weight) + image[high] * weight
    low, high, weight = _bilinear_weights(image.shape[1], side, centre)
    weight = weight[:, None]
    return (rows[:, low] * (1 - weight) + rows[:, high] * weight).clip(0, 255).astype(np.float32)


def _gigagan(image: np.ndarray, side: int) -> np.ndarray:
    return clean_resize(centre_crop_256(image), side)


def _pytorch_fid(image: np.ndarray, side: int) -> np.ndarray:
    # Feature networks compute (x - 128) / 128. Applied to 256/255 x, this is pytorch-fid's
    # 2x/255 - 1.
    return bilinear_resize(image, side) * np.float32(256 / 255)


def _tensorflow(image: np.ndarray, side: int) -> np.ndarray:
    return bilinear_resize(image, side, 0.0)


def _squash(image: np.ndarray, side: int) -> np.ndarray:
    resized = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(resized, np.float32)


def _square(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return _squash(np.ascontiguousarray(image[top : top + short, left : left + short]), side)


PROTOCOLS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "playground": clean_resize,
    "gigagan256": _gigagan,
    "pytorch-fid": _pytorch_fid,
    "clean": clean_resize,
    "legacy_pytorch": _pytorch_fid,
    "legacy_tensorflow": _tensorflow,
    "squash": _squash,
    "square": _square,
}


def read_image(path: Path) -> np.ndarray:
    """Read an image (H, W, 3) as clean-fid does.

    A .npy file is used unchanged. Alpha is dropped and EXIF orientation is not applied. Raises
    Unscorable if the file is not a valid image."""
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    return read_rgb(path, as_stored=True)


def prepare(image: Path | np.ndarray, protocol: str, side: int) -> np.ndarray:
    """One file or (H, W, 3) uint8 array -> (3, side, side) float32 pixels by ``protocol``.

    In memory the channels come last; ``np.stack`` keeps this order when it builds a batch.
    Raises Unscorable for an unreadable file and KeyError for an unknown protocol."""
    pixels = read_image(image) if isinstance(image, Path) else image
    return PROTOCOLS[protocol](pixels, side).transpose(2, 0, 1)


def usable_cores() -> int:
    """Number of cores this process may use. A container or taskset can limit it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def feature_batches(
    images: Sequence[Path | np.ndarray],
    net: FeatureNet,
    protocol: str,
    batch_size: int = FEATURE_BATCH,
) -> Iterator[np.ndarray]:
    """Yield the features of ``images`` in order, one batch (n, d) float32 at a time.

    Threads decode and resize the next batch while the network runs; Pillow and the network both
    release the GIL. At most two batches of pixels are in memory."""
    pool = ThreadPoolExecutor(usable_cores())

    def begin(start: int) -> list[Future[np.ndarray]]:
        batch = images[start : start + batch_size]
        return [pool.submit(prepare, image, protocol, net.side) for image in batch]

    try:
        ahead = begin(0)
        for start in range(0, len(images), batch_size):
            pixels = np.stack([future.result() for future in ahead])
            ahead = begin(start + batch_size)
            yield net(pixels)
    finally:
        pool.shutdown(cancel_futures=True)


def find_images(folder: Path) -> list[Path]:
    """The image files below ``folder`` that clean-fid would count, sorted by path.

    Raises UserError if there are none."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not files:
        raise UserError(f"{folder} holds no images")
    return files
