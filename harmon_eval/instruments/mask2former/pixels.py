"""MMDetection 2.x's pre- and postprocessing for Mask2Former: image to pixels, logits to detections.

All of this arithmetic affects scores: how an image is resized and padded (the network sees the
padding), and in which order masks are enlarged, cropped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BITS = 11  # OpenCV's fixed-point weights of bilinear resizing in 8 bit


@dataclass(frozen=True)
class Pipeline:
    """Options of the published configuration. Images are resized to fit ``long`` x ``short``,
    padded on the right and at the bottom with ``pad_value`` to multiples of ``divisor``, and
    normalised (RGB)."""

    long: int = 1333
    short: int = 800
    divisor: int = 32
    pad_value: int = 128
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    max_per_image: int = 100


PUBLISHED = Pipeline()


@dataclass(frozen=True)
class Prepared:
    """``pixels`` (1, 3, H, W) float32, and the image size (H, W) after and before resizing."""

    pixels: Tensor
    resized: tuple[int, int]
    original: tuple[int, int]


@dataclass(frozen=True)
class Detections:
    """Best first: ``boxes`` (n, 4) float32 [x0, y0, x1, y1], x1 and y1 exclusive; ``scores`` (n,);
    ``labels`` and ``query`` (n,) int64; ``masks`` (n, H, W) bool."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    query: Tensor
    masks: Tensor


# -- into the network ------------------------------------------------------------------------


def resized_size(height: int, width: int, pipeline: Pipeline = PUBLISHED) -> tuple[int, int]:
    """Height and width that fit the limits and keep the aspect ratio."""
    factor = min(pipeline.long / max(height, width), pipeline.short / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """For each output pixel: the lower source index (int64), and the position between it and the
    next one (float32)."""
    step = 1 / (target / source)
    position = ((np.arange(target) + 0.5) * step - 0.5).astype(np.float32)
    low = np.floor(position)
    return low.astype(np.int64), position - low


def _fixed(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the lower and the upper tap as integers, with halves rounded to even."""
    scale = np.float32(1 << BITS)
    lower, upper = (np.float32(1) - share) * scale, share * scale
    return np.rint(lower).astype(np.int64), np.rint(upper).astype(np.int64)


def opencv_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) uint8 -> (height, width, C) uint8: OpenCV's INTER_LINEAR in integer arithmetic.

    Two taps per axis at half-pixel centres, no antialiasing. The bit shifts before and after the
    vertical products are part of it: rounding only once would change every eighth value."""
    left, share = _taps(image.shape[1], width)
    share = np.where((left < 0) | (left >= image.shape[1] - 1), np.float32(0), share)
    left = left.clip(0, image.shape[1] - 1)
    right = np.minimum(left + 1, image.shape[1] - 1)
    w_left, w_right = (weight[:, None] for weight in _fixed(share))
    pixels = image.astype(np.int64)
    across = pixels[:, left] * w_left + pixels[:, right] * w_right  # (H, width, C)
    top, share = _taps(image.shape[0], height)
    v_top, v_bottom = (weight[:, None, None] for weight in _fixed(share))
    last = image.shape[0] - 1
    upper, lower = across[top.clip(0, last)] >> 4, across[(top + 1).clip(0, last)] >> 4
    mixed = ((v_top * upper) >> 16) + ((v_bottom * lower) >> 16)
    return ((mixed + 2) >> 2).clip(0, 255).astype(np.uint8)


def prepare(image: np.ndarray, pipeline: Pipeline = PUBLISHED) -> Prepared:
    """(H, W, 3) uint8 RGB -> the network's input: resize in 8 bit, pad, normalise."""
    original = (image.shape[0], image.shape[1])
    resized = resized_size(*original, pipeline)
    smaller = image if resized == original else opencv_bilinear(image, *resized)
    height, width = (-(-side // pipeline.divisor) * pipeline.divisor for side in resized)
    canvas = np.full((height, width, 3), pipeline.pad_value, dtype=np.uint8)
    canvas[: resized[0], : resized[1]] = smaller
    pixels = (canvas - np.array(pipeline.mean)) / np.array(pipeline.std)
    tensor = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    return Prepared(tensor.contiguous(), resized, original)


# -- out of the network ----------------------------------------------------------------------


def full_masks(logits: Tensor, padded: tuple[int, int], prepared: Prepared) -> Tensor:
    """Mask logits (n, h, w) -> (n, H, W) at the original size: enlarge, crop, resize."""

    def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]

    height, width = prepared.resized
    return resize(resize(logits, padded)[:, :height, :width], prepared.original)


def tight_boxes(masks: Tensor) -> Tensor:
    """(n, H, W) bool -> (n, 4) float32: first column and row, then last column and row + 1. All are
    zero for an empty mask."""

    def ends(occupied: Tensor) -> tuple[Tensor, Tensor]:  # (n, size)
        places = torch.arange(occupied.shape[1], device=occupied.device)
        first = torch.where(occupied, places, occupied.shape[1]).amin(1)
        return first, torch.where(occupied, places + 1, 0).amax(1)

    (x0, x1), (y0, y1) = ends(masks.any(1)), ends(masks.any(2))
    boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    return boxes * masks.flatten(1).any(1)[:, None]


def detections(
    class_logits: Tensor, mask_logits: Tensor, prepared: Prepared, max_per_image: int = 100
) -> Detections:
    """The last layer's class logits (Q, classes + 1) and mask logits (Q, h, w) -> detections.

    Keeps the best (query, class) pairs of the whole table, so a query may appear under several
    classes, and nothing is suppressed. The score is the class probability times the mask's mean
    probability."""
    shares = class_logits.softmax(-1)[:, :-1]  # the last is "no object"
    best = shares.flatten().topk(min(max_per_image, shares.numel()))
    query = best.indices // shares.shape[1]
    used, place = query.unique(return_inverse=True)
    height, width = prepared.pixels.shape[-2:]
    logits = full_masks(mask_logits[used], (height, width), prepared)
    masks = logits > 0
    area = masks.flatten(1).sum(1)
    certainty = (logits.sigmoid() * masks).flatten(1).sum(1) / (area + 1e-6)
    scores = best.values * certainty[place]
    order = scores.argsort(descending=True, stable=True)
    place = place[order]
    return Detections(
        boxes=tight_boxes(masks)[place],
        scores=scores[order],
        labels=(best.indices % shares.shape[1])[order],
        query=query[order],
        masks=masks[place],
    )
