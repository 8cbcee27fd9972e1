"""Writes the mini suite's benchmarks in the file formats of the official ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harmon_eval.scoring import geneval_prompts as prompts
from harmon_eval.suites.mini.language import description
from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES, Scene, compose, render

GENEVAL_SEED, MJHQ_SEED = 43, 30_000
PROMPTS_A_TAG = 100
IMAGES_A_CATEGORY = 100


def geneval_items(seed: int, samples: int = PROMPTS_A_TAG) -> list[dict[str, Any]]:
    """Prompts of GenEval's six tags and clause grammar about shapes, repeats dropped."""
    rng = np.random.default_rng(seed)
    shapes, colors = list(SHAPES), list(COLORS)

    def pick(values: Sequence[str], size: int) -> list[str]:
        return [values[i] for i in rng.choice(len(values), size=size, replace=False)]

    items = [prompts.single(shape) for shape in shapes]
    items += [prompts.two(*pick(shapes, 2)) for _ in range(samples)]
    items += [prompts.counting(pick(shapes, 1)[0], int(rng.integers(2, 5))) for _ in range(samples)]
    items += [prompts.colors(pick(shapes, 1)[0], pick(colors, 1)[0]) for _ in range(samples)]
    for _ in range(samples):
        subject, reference = pick(shapes, 2)
        items.append(prompts.position(subject, pick(RELATIONS, 1)[0], reference))
    for _ in range(samples):
        (a, b), (color_a, color_b) = pick(shapes, 2), pick(colors, 2)
        items.append(prompts.color_attr(a, color_a, b, color_b))
    return prompts.without_repeats(items)


def make_geneval(folder: Path) -> None:
    text = prompts.to_jsonl(geneval_items(GENEVAL_SEED))
    (folder / "evaluation_metadata.jsonl").write_text(text)


def _kinds(rng: np.random.Generator, count: int, same: bool) -> list[tuple[str, str]]:
    shapes, colors = list(SHAPES), list(COLORS)
    shape, color = shapes[rng.integers(len(shapes))], colors[rng.integers(len(colors))]
    if same:
        return [(shape, color)] * count
    picked = rng.choice(len(shapes), size=count, replace=False)
    return [(shapes[i], colors[rng.integers(len(colors))]) for i in picked]


# Ten kinds of scenes stand where MJHQ has ten kinds of pictures.
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


def make_mjhq(folder: Path) -> None:
    """``meta_data.json`` and one reference image a prompt, ten categories of equal size."""
    metadata = {}
    for number, (category, make) in enumerate(CATEGORIES.items()):
        images = folder / "mjhq30k_imgs" / category
        images.mkdir(parents=True)
        for index in range(IMAGES_A_CATEGORY):
            rng = np.random.default_rng((MJHQ_SEED, number, index))
            scene = make(rng)
            key = hashlib.sha1(f"{category}/{index}".encode(), usedforsecurity=False).hexdigest()
            metadata[key] = {"category": category, "prompt": f"a photo of {description(scene)}"}
            Image.fromarray(render(scene)).save(images / f"{key}.png")
    (folder / "meta_data.json").write_text(json.dumps(metadata, indent=1))


MAKERS: dict[str, Callable[[Path], None]] = {"geneval": make_geneval, "mjhq": make_mjhq}
