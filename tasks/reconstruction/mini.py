"""A folder of pictures: scenes of one to four objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.scenes import render, sample_scene

SEED, COUNT = 31_000, 160


def make(folder: Path) -> None:
    (folder / "images").mkdir()
    for index in range(COUNT):
        scene = sample_scene(np.random.default_rng((SEED, index)))
        Image.fromarray(render(scene)).save(folder / "images" / f"{index:03d}.png")
