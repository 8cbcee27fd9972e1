"""WISE's files: prompts about shapes, with an explanation that only the judge reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.suites.mini.language import NUMBERS, article, enumeration, plural
from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES
from harmon_eval.tasks.wise.rules import CATEGORIES, LEGACY, VERIFIED, Release

SEED, VERIFIED_SEED = 1_000, 2_000
# Shares of the categories as in the full set of 1,000.
SIZES = {"culture": 32, "time": 13, "space": 11, "biology": 8, "physics": 8, "chemistry": 8}


def records(release: Release, seed: int) -> Iterator[dict[str, Any]]:
    """Six kinds of scenes stand where WISE has six fields of knowledge."""
    rng = np.random.default_rng(seed)
    for category, start in zip(CATEGORIES, release.starts, strict=True):
        for number in range(SIZES[category]):
            prompt, explanation = _scene(category, rng)
            yield {
                "Prompt": f"a photo of {prompt}",
                "Explanation": explanation,
                "Category": category,
                "Subcategory": category,
                "prompt_id": start + number,
            }


def _scene(category: str, rng: np.random.Generator) -> tuple[str, str]:
    shapes = [str(name) for name in rng.permutation(list(SHAPES))]
    colors = [str(name) for name in rng.permutation(list(COLORS))]
    names = [f"{color} {shape}" for color, shape in zip(colors, shapes, strict=False)]
    if category in ("culture", "space"):
        relation = RELATIONS[rng.integers(len(RELATIONS))]
        return (
            f"{article(names[0])} {relation} {article(names[1])}",
            f"There is one {names[0]} and one {names[1]}. "
            f"The {names[0]} is {relation} the {names[1]}.",
        )
    if category == "time":
        count = NUMBERS[rng.integers(2, 5)]
        many = f"{count} {colors[0]} {plural(shapes[0])}"
        return many, f"There are {many}."
    number = {"biology": 1, "physics": 2, "chemistry": int(rng.integers(3, 5))}[category]
    told = enumeration([f"one {name}" for name in names[:number]])
    return enumeration([article(name) for name in names[:number]]), f"There is {told}."


def write(folder: Path, release: Release, seed: int) -> None:
    """The three files of an release."""
    everything = list(records(release, seed))
    parts = (range(1, 401), range(401, release.starts[3]), range(release.starts[3], 1001))
    for name, ids in zip(release.files, parts, strict=True):
        own = [record for record in everything if record["prompt_id"] in ids]
        (folder / name).write_text(json.dumps(own, indent=1), encoding="utf-8")


def make(folder: Path) -> None:
    write(folder, LEGACY, SEED)


def make_verified(folder: Path) -> None:
    """Other prompts under the same ids."""
    write(folder, VERIFIED, VERIFIED_SEED)
