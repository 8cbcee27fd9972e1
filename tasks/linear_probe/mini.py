"""Two sets in ImageNet's layout: scikit-learn's handwritten digits, and scenes with one shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.quiz import picture
from harmon_eval.suites.mini.scenes import COLORS, SHAPES, SIDE, compose

SEED = 1000
DIGITS = {"train": 30, "val": 15}  # images per class
SCENES = {"train": 50, "val": 25}


def digit_images() -> dict[str, list[Image.Image]]:
    """Digit -> its images in the original order, enlarged from 8 x 8 to 64 x 64."""
    from sklearn.datasets import load_digits  # slow (half a second), so not when tasks are listed

    pixels, labels = load_digits(return_X_y=True)
    found: dict[str, list[Image.Image]] = {str(label): [] for label in range(10)}
    for image, label in zip(pixels.reshape(-1, 8, 8), labels, strict=True):
        grey = Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8))
        large = grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        found[str(label)].append(large.convert("RGB"))
    return found


def digits(folder: Path) -> None:
    """The first 45 images of each digit."""
    for label, images in digit_images().items():
        start = 0
        for split, count in DIGITS.items():
            place = folder / split / label
            place.mkdir(parents=True)
            for number, image in enumerate(images[start : start + count]):
                image.save(place / f"{number:04d}.png")
            start += count


def shapes(folder: Path) -> None:
    """Scenes with one object of any colour, at any place; the class is its shape."""
    for number, shape in enumerate(SHAPES):
        rng = np.random.default_rng((SEED, number))
        for split, count in SCENES.items():
            for index in range(count):
                color = list(COLORS)[rng.integers(len(COLORS))]
                scene = compose(rng, [(shape, color)])
                picture(scene, folder / split / shape / f"{index:04d}.png")


def make(folder: Path) -> None:
    digits(folder / "digits")
    shapes(folder / "shapes")
