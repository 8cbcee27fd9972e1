"""MJHQ-30K's layout: prompts in ten categories, each prompt with a reference image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.language import description
from harmon_eval.suites.mini.scenes import COLORS, SHAPES, Scene, compose, render

SEED = 30_000
IMAGES_A_CATEGORY = 100


def _kinds(rng: np.random.Generator, count: int, same: bool) -> list[tuple[str, str]]:
    shapes, colors = list(SHAPES), list(COLORS)
    shape, color = shapes[rng.integers(len(shapes))], colors[rng.integers(len(colors))]
    if same:
        return [(shape, color)] * count
    picked = rng.choice(len(shapes), size=count, replace=False)
    return [(shapes[i], colors[rng.integers(len(colors))]) for i in picked]


# Ten kinds of scenes replace MJHQ's ten kinds of images.
CATEGORIES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "one": lambda rng: compose(rng, _kinds(rng, 1, False)),
    "beside": lambda rng: compose(rng, _kinds(rng, 2, False), "left of"),
    "stacked": lambda rng: compose(rng, _kinds(rng, 2, False), "above"),
    "twins": lambda rng: compose(rng, _kinds(rng, 2, True)),
    "triplets": lambda rng: compose(rng, _kinds(rng, 3, True)),
    "quadruplets": lambda rng: compose(rng, _kinds(rng, 4, True)),
    "three-kinds": lambda rng: compose(rng, _kinds(rng, 3, False)),
    "four-kinds": lambda rng: compose(rng, _kinds(rng, 4, False)),
    "round": lambda rng: compose(
        rng, [(("circle", "ring")[rng.integers(2)], c) for _, c in _kinds(rng, 2, False)]
    ),
    "pointed": lambda rng: compose(
        rng, [(("star", "triangle")[rng.integers(2)], c) for _, c in _kinds(rng, 2, False)]
    ),
}


def make(folder: Path) -> None:
    write(folder, IMAGES_A_CATEGORY)


def make_tenth(folder: Path) -> None:
    """A tenth of the images: enough to run another protocol, and minutes faster to generate."""
    write(folder, IMAGES_A_CATEGORY // 10)


def write(folder: Path, images_a_category: int) -> None:
    """Write ``meta_data.json`` and one reference image per prompt, in ten equal categories."""
    metadata = {}
    for number, (category, make) in enumerate(CATEGORIES.items()):
        images = folder / "mjhq30k_imgs" / category
        images.mkdir(parents=True)
        for index in range(images_a_category):
            rng = np.random.default_rng((SEED, number, index))
            scene = make(rng)
            key = hashlib.sha1(f"{category}/{index}".encode(), usedforsecurity=False).hexdigest()
            metadata[key] = {"category": category, "prompt": f"a photo of {description(scene)}"}
            Image.fromarray(render(scene)).save(images / f"{key}.png")
    (folder / "meta_data.json").write_text(json.dumps(metadata, indent=1))
