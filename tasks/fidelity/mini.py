"""A folder of references with their prompts, drawn from the mini suite's world of shapes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.language import description
from harmon_eval.suites.mini.scenes import render, sample_scene

SEED, COUNT = 41_000, 80  # more than the 64 features of the suite, also without a twentieth


def make(folder: Path) -> None:
    """Write ``prompts.csv`` and the pictures in ``images/``."""
    (folder / "images").mkdir()
    with (folder / "prompts.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("file", "prompt"))
        for index in range(COUNT):
            scene = sample_scene(np.random.default_rng((SEED, index)))
            name = f"images/{index:03d}.png"
            Image.fromarray(render(scene)).save(folder / name)
            lines.writerow((name, f"a photo of {description(scene)}"))
