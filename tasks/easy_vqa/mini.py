"""easy-VQA's files about the mini suite's shapes: one shape a picture, three questions each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.quiz import picture
from harmon_eval.suites.mini.scenes import compose
from harmon_eval.tasks.easy_vqa.files import IMAGES, QUESTIONS

SEED, PICTURES = 64, 24
COLORS, SHAPES = ("black", "blue", "brown", "green", "red", "yellow"), ("circle", "triangle")


def make(folder: Path) -> None:
    rows = []
    for number in range(PICTURES):
        rng = np.random.default_rng((SEED, number))
        color, other = map(str, rng.permutation(COLORS)[:2])
        shape = str(rng.choice(SHAPES))
        picture(compose(rng, [(shape, color)]), folder / IMAGES / f"{number}.png")
        asked, answer = ((color, "yes"), (other, "no"))[number % 2]
        rows += [
            [f"what color is the {shape}?", color, number],
            ["what shape does the image contain?", shape, number],
            [f"is there a {asked} shape?", answer, number],
        ]
    (folder / QUESTIONS).write_text(json.dumps(rows), encoding="utf-8")
