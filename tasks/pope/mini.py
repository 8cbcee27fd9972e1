"""POPE's nine files, made by POPE's own procedure with coloured shapes instead of objects."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.language import article
from harmon_eval.suites.mini.quiz import picture, scene
from harmon_eval.suites.mini.scenes import COLORS, SHAPES

SEED = 3000
IMAGES = 10
FORMS = {"coco": "three", "aokvqa": "four", "gqa": "three"}
FILES = {
    "coco": "coco_pope_{}.json",
    "aokvqa": "aokvqa_pope_seem_{}.json",
    "gqa": "gqa_pope_seem_{}.json",
}
EVERY = [f"{color} {shape}" for color in COLORS for shape in SHAPES]


def negatives(split: str, shown: list[list[str]], rng: np.random.Generator) -> list[list[str]]:
    """Three absent objects per image: random ones, the most frequent ones, or those that most often
    appear together with each present object.

    If no such object is left, a random one is used, as in the original."""
    frequent = [name for name, _ in Counter(chain(*shown)).most_common()]
    chosen = []
    for present in shown:
        absent: list[str] = []
        for positive in present[:3]:
            beside = Counter(name for other in shown if positive in other for name in other)
            ranked = {
                "random": [],
                "popular": frequent,
                "adversarial": [name for name, _ in beside.most_common()],
            }[split]
            free = [name for name in EVERY if name not in present and name not in absent]
            wanted = [name for name in ranked if name in free]
            absent.append(wanted[0] if wanted else free[rng.integers(len(free))])
        chosen.append(absent)
    return chosen


def make(folder: Path) -> None:
    """Write the files. Those of coco are JSON lines, the others are arrays, as published."""
    for number, (source, pattern) in enumerate(FILES.items()):
        rng = np.random.default_rng((SEED, number))
        names, shown = [], []
        for index in range(IMAGES):
            found = scene(rng, FORMS[source])
            names.append(f"{source}_{index:012d}.jpg")
            shown.append([f"{item.color} {item.shape}" for item in found.items])
            picture(found, folder / "images" / names[-1])
        for split in ("random", "popular", "adversarial"):
            rows: list[dict[str, object]] = []
            for image, present, absent in zip(
                names, shown, negatives(split, shown, rng), strict=True
            ):
                for yes, no in zip(present[:3], absent, strict=True):
                    for name, label in ((yes, "yes"), (no, "no")):
                        text = f"Is there {article(name)} in the image?"
                        row = {"question_id": len(rows) + 1, "image": image}
                        rows.append({**row, "text": text, "label": label})
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            text = lines if source == "coco" else json.dumps(rows, indent=1)
            (folder / pattern.format(split)).write_text(text)
