"""COCO's caption file and validation images, made from scenes with two captions each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.language import description
from harmon_eval.suites.mini.scenes import render
from harmon_eval.tasks.mjhq.mini import CATEGORIES

SEED = 2014
IMAGES = 100


def make(folder: Path) -> None:
    """Write ``captions_val2014.json`` and the images in ``val2014/``."""
    pictures = folder / "val2014"
    pictures.mkdir()
    images, annotations = [], []
    kinds = list(CATEGORIES.values())
    for number in range(IMAGES):
        scene = kinds[number % len(kinds)](np.random.default_rng((SEED, number)))
        name = f"COCO_val2014_{number:012d}.png"
        Image.fromarray(render(scene)).save(pictures / name)
        images.append({"id": number, "file_name": name})
        for k, start in enumerate(("a photo of ", "")):
            caption = start + description(scene)
            annotations.append({"id": 2 * number + k, "image_id": number, "caption": caption})
    content = {"images": images, "annotations": annotations}
    (folder / "captions_val2014.json").write_text(json.dumps(content))
