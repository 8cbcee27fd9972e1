"""Measure how reliable the mini suite's instruments are.

``python -m harmon_eval.suites.mini.measure``

Detections are compared with the renderer's ground truth on fresh scenes, clean and damaged.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from harmon_eval.suites.mini.colors import ColorNamer
from harmon_eval.suites.mini.detector import ShapeDetector
from harmon_eval.suites.mini.scenes import Scene, render, sample_scene

STREAM = 99


def jpeg(image: np.ndarray, quality: int = 75) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def noisy(image: np.ndarray, sigma: float = 8.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float = 0.7) -> np.ndarray:
    return ndimage.gaussian_filter(image, (sigma, sigma, 0))


DAMAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "clean": lambda image: image,
    "blurred (sigma 0.7 px)": blurred,
    "noisy (sigma 8)": noisy,
    "JPEG (quality 75)": jpeg,
}


def matches(scene: Scene, image: np.ndarray, threshold: float) -> tuple[int, int, int, int]:
    """Counts: objects found with the right place and shape, detections above the threshold, objects
    in the scene, and found objects with the right colour."""
    detections, namer = ShapeDetector()([image])[0], ColorNamer()
    right = total = colored = 0
    free = list(scene.items)
    for name, (boxes, masks) in detections.items():
        for box, mask in zip(boxes, masks, strict=True):
            if not box[4] > threshold:
                continue
            total += 1
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            hit = next(
                (
                    item
                    for item in free
                    if item.shape == name and np.hypot(item.x - x, item.y - y) < 3
                ),
                None,
            )
            if hit:
                free.remove(hit)
                right += 1
                colored += namer(image, box[None], mask[None], name) == [hit.color]
    return right, total, len(scene.items), colored


def measure(count: int, threshold: float) -> dict[str, tuple[float, float, float]]:
    """Damage -> precision, recall, and the share of found objects with the right colour."""
    scenes = [sample_scene(np.random.default_rng((STREAM, i))) for i in range(count)]
    table = {}
    for name, damage in DAMAGES.items():
        sums = np.sum([matches(s, damage(render(s)), threshold) for s in scenes], axis=0)
        right, total, objects, colored = (int(value) for value in sums)
        table[name] = (right / max(total, 1), right / objects, colored / max(right, 1))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=2000)
    arguments = parser.parse_args()
    print("| pictures | threshold | precision | recall | colours right |\n|---|---|---|---|---|")
    for threshold in (0.3, 0.9):
        for name, row in measure(arguments.scenes, threshold).items():
            print(f"| {name} | {threshold} | " + " | ".join(f"{value:.4f}" for value in row) + " |")


if __name__ == "__main__":
    main()
