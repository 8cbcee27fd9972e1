"""The mini suite's object detector: it finds coloured shapes with fixed rules, from pixels alone.

It takes the place of GenEval's Mask2Former and returns the same format. It never sees the scene
description.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from harmon_eval.suites.mini.scenes import COLORS, RADII, SHAPES, SIDE, Item, coverage

Detections = dict[str, tuple["np.ndarray", "np.ndarray"]]

TEMPLATE_SIDE = 24
# Blur in pixels, then the steepness applied after it. The variants are sharp, soft (as after lossy
# compression), and with rounded corners (as after a small autoencoder). Without the last one, small
# stars would be classified as circles.
TEMPLATE_EDGES = ((0.0, 1.0), (0.7, 1.0), (1.6, 3.0))
MIN_AREA = 24
MIN_CONTRAST = 34.0
# Overlap with the best template: below the first value, an object is noise; above the second, it
# is clear.
OVERLAP_RANGE = (0.5, 0.7)
CLEAR_MARGIN = 0.012


class ShapeDetector:
    """Images (H, W, 3) uint8 -> GenEval-style detections.

    An object is a connected region that differs from the background. It is split where two colours
    touch and compared with templates of every shape. The score rises with the overlap with the best
    template and with its margin over the second best.
    """

    identity = "shape-detector-3"
    classes = frozenset(SHAPES)

    def __call__(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """For each image: class name -> boxes (n, 5) float32 [x0, y0, x1, y1, score], best first,
        x1 and y1 exclusive, and masks (n, H, W) bool."""
        return [self._detect(np.asarray(image, dtype=np.float32)) for image in images]

    def _detect(self, image: np.ndarray) -> Detections:
        found: dict[str, list[tuple[float, np.ndarray, np.ndarray]]] = {}
        for alpha in objects(image):
            name, score = classify(alpha)
            mask = alpha > 0.5
            rows, columns = np.where(mask.any(1))[0], np.where(mask.any(0))[0]
            box = np.array(
                [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, score], dtype=np.float32
            )
            found.setdefault(name, []).append((score, box, mask))
        detections = {}
        for name, entries in found.items():
            entries.sort(key=lambda entry: -entry[0])
            detections[name] = (
                np.stack([box for _, box, _ in entries]),
                np.stack([mask for _, _, mask in entries]),
            )
        return detections


def background_color(image: np.ndarray) -> np.ndarray:
    sides = image[:2], image[-2:], image[2:-2, :2], image[2:-2, -2:]
    return np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0)


def objects(image: np.ndarray) -> Iterator[np.ndarray]:
    """Coverage maps (H, W) in [0, 1] of the objects in a float image (H, W, 3)."""
    from scipy import ndimage

    background = background_color(image)
    contrast = np.abs(image - background).max(axis=-1)
    # Smoothing prevents single noisy pixels from becoming objects or joining two objects.
    smooth = ndimage.uniform_filter(contrast, 3)
    foreground = (contrast > MIN_CONTRAST) & (smooth > MIN_CONTRAST * 0.6)
    labels, _ = ndimage.label(foreground)
    for index, window in enumerate(ndimage.find_objects(labels), start=1):
        region = labels[window] == index
        if region.sum() < MIN_AREA:
            continue
        for part, color in _split_by_color(image[window], region, contrast[window]):
            alpha = np.zeros(image.shape[:2], dtype=np.float32)
            direction = color - background
            covered = ((image[window] - background) @ direction) / (direction @ direction)
            alpha[window] = np.where(part, np.clip(covered, 0, 1), 0)
            if (alpha > 0.5).sum() >= MIN_AREA:
                yield alpha


def _split_by_color(
    patch: np.ndarray, region: np.ndarray, contrast: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of a region with their colours: several if objects of different colours touch."""
    from scipy import ndimage

    core = region & (contrast >= 0.6 * np.percentile(contrast[region], 90))
    palette = np.array(list(COLORS.values()), dtype=np.float32)
    nearest = np.square(patch[:, :, None] - palette).sum(-1).argmin(-1)
    names = [
        label
        for label in np.unique(nearest[core])
        # Erosion removes a thin seam of mixed colour but keeps a real object.
        if ndimage.binary_erosion(core & (nearest == label)).sum() >= MIN_AREA // 3
    ]
    if len(names) < 2:
        yield region, np.median(patch[core], axis=0)
        return
    colors = np.stack([np.median(patch[core & (nearest == label)], axis=0) for label in names])
    owner = np.square(patch[:, :, None] - colors).sum(-1).argmin(-1)
    for i, color in enumerate(colors):
        parts, _ = ndimage.label(region & (owner == i))
        sizes = np.bincount(parts.ravel())[1:]
        for label in np.flatnonzero(sizes >= MIN_AREA) + 1:
            yield parts == label, color


def normalised(alpha: np.ndarray) -> np.ndarray:
    """A coverage map cropped to a square around the object and resampled to the template's size."""
    from scipy import ndimage

    weights_y, weights_x = alpha.sum(1), alpha.sum(0)
    inside_y, inside_x = np.flatnonzero(weights_y > 0.5), np.flatnonzero(weights_x > 0.5)
    if len(inside_y) == 0 or len(inside_x) == 0:
        return np.zeros((TEMPLATE_SIDE, TEMPLATE_SIDE), dtype=np.float32)
    y0, y1, x0, x1 = inside_y[0], inside_y[-1] + 1, inside_x[0], inside_x[-1] + 1
    side = max(y1 - y0, x1 - x0) * 1.08
    steps = (np.arange(TEMPLATE_SIDE) + 0.5) / TEMPLATE_SIDE - 0.5
    rows = (y0 + y1) / 2 + steps * side - 0.5
    columns = (x0 + x1) / 2 + steps * side - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    return ndimage.map_coordinates(alpha, grid, order=1, mode="constant")


@lru_cache
def templates() -> tuple[tuple[str, ...], np.ndarray]:
    """Shape names, and their normalised coverage maps (shapes, variants, side, side)."""
    from scipy import ndimage

    stacks = []
    for shape in SHAPES:
        variants = []
        for radius, offset, (blur, steepness) in product(RADII.values(), (0, 0.5), TEMPLATE_EDGES):
            alpha = np.zeros((SIDE, SIDE), dtype=np.float32)
            item = Item(shape, "red", 32 + offset, 32 + offset, radius)
            rows, columns, share = coverage(item)
            alpha[rows, columns] = share
            soft = (ndimage.gaussian_filter(alpha, blur) - 0.5) * steepness + 0.5
            variants.append(normalised(np.clip(soft, 0, 1)))
        stacks.append(np.stack(variants))
    return tuple(SHAPES), np.stack(stacks)


def classify(alpha: np.ndarray) -> tuple[str, float]:
    """The shape that best fits a coverage map, and a score in (0, 1)."""
    names, stack = templates()
    patch = normalised(alpha)
    overlap = np.minimum(stack, patch).sum((-2, -1)) / np.maximum(stack, patch).sum((-2, -1))
    best = overlap.max(axis=1)
    order = np.argsort(-best)
    low, high = OVERLAP_RANGE
    fit = np.clip((best[order[0]] - low) / (high - low), 0.0, 1.0)
    margin = np.clip((best[order[0]] - best[order[1]]) / CLEAR_MARGIN, 0.0, 1.0)
    return names[order[0]], float(np.clip(fit * (0.4 + 0.6 * margin), 0.01, 0.99))
