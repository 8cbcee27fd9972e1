"""Combinations that harmon-mini's training left out, and as many that it contained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.suites.mini.quiz import picture
from harmon_eval.suites.mini.scenes import (
    COLORS,
    OPPOSITE,
    RELATIONS,
    SHAPES,
    UNSEEN_COUNTS,
    UNSEEN_KINDS,
    UNSEEN_RELATIONS,
    unseen,
)
from harmon_eval.tasks.geneval import prompts
from harmon_eval.tasks.synergy.mini import PICTURES, shown_and_asked

SEED = 5024
CONCEPTS = 12  # per tag and split; if there are fewer, they repeat with new images
Item = dict[str, Any]


def pools() -> dict[str, dict[str, list[Item]]]:
    """Split -> tag -> prompts. Prompts in ``unseen`` name a combination held out from training.

    Both splits ask for the same counts. In color_attr, the held-out object comes last."""
    found: dict[str, dict[str, list[Item]]] = {"seen": {}, "unseen": {}}

    def add(item: Item, held_out: bool) -> None:
        found["unseen" if held_out else "seen"].setdefault(item["tag"], []).append(item)

    kinds = list(product(SHAPES, COLORS))
    for shape, color in kinds:
        add(prompts.colors(shape, color), (color, shape) in UNSEEN_KINDS)
    for (a, color_a), (b, color_b) in product(kinds, kinds):
        if a != b and color_a != color_b and (color_a, a) not in UNSEEN_KINDS:
            add(prompts.color_attr(a, color_a, b, color_b), (color_b, b) in UNSEEN_KINDS)
    for shape, count in product(SHAPES, sorted({count for count, _ in UNSEEN_COUNTS})):
        add(prompts.counting(shape, count), (count, shape) in UNSEEN_COUNTS)
    for a, relation, b in product(SHAPES, RELATIONS, SHAPES):
        if a != b:
            sides = {(a, relation, b), (b, OPPOSITE[relation], a)}
            add(prompts.position(a, relation, b), bool(sides & UNSEEN_RELATIONS))
    return found


def concepts(rng: np.random.Generator) -> Iterator[Item]:
    """``CONCEPTS`` prompts of each split and tag, each with its ``split``."""
    for split, tags in pools().items():
        for pool in tags.values():
            order = rng.permutation(len(pool))
            for number in range(CONCEPTS):
                yield {**pool[order[number % len(pool)]], "split": split}


def make(folder: Path) -> None:
    """Write the data. Images of the seen split show no held-out combination, not even in colours
    or sides that the prompt does not name."""
    lines = []
    for index, item in enumerate(concepts(np.random.default_rng(SEED))):
        shown = []
        for k in range(PICTURES):
            rng = np.random.default_rng((SEED, index, k))
            scene, asked = shown_and_asked(item, k, rng)
            while unseen(scene) != (item["split"] == "unseen"):
                scene, asked = shown_and_asked(item, k, rng)
            name = f"images/{index:05d}_{k}.png"
            picture(scene, folder / name)
            shown.append({"image": name, **asked})
        lines.append(json.dumps({**item, "shown": shown}) + "\n")
    (folder / "held_out.jsonl").write_text("".join(lines))
