"""A list of prompts about the mini suite's shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import caption
from harmon_eval.suites.mini.scenes import sample_scene

FILE, SEED, COUNT = "prompts.txt", 43_000, 8


def make(folder: Path) -> None:
    scenes = (sample_scene(np.random.default_rng((SEED, index))) for index in range(COUNT))
    lines = [f"a photo of {caption(scene)}" for scene in scenes]
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
