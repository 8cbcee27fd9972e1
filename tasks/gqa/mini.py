"""GQA's question file: four questions about each scene, with their types."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.questions import (
    Maker,
    beside,
    color,
    color_holds,
    count,
    exists,
    place,
    relation,
    shape,
)
from harmon_eval.suites.mini.quiz import picture, scene

SEED = 12_578
IMAGES = 64
QUESTIONS = 4  # about each image
KINDS: dict[Maker, tuple[str, str]] = {
    color: ("query", "attr"),
    shape: ("query", "obj"),
    count: ("query", "global"),
    beside: ("query", "rel"),
    place: ("query", "cat"),
    exists: ("verify", "obj"),
    relation: ("verify", "rel"),
    color_holds: ("verify", "attr"),
}


def make(folder: Path) -> None:
    entries = {}
    for index in range(IMAGES):
        rng = np.random.default_rng((SEED, index))
        found = scene(rng, ("two", "two", "three", "same")[index % 4])
        image = f"n{index:06d}"
        picture(found, folder / "images" / f"{image}.jpg")
        asked: set[str] = set()
        while len(asked) < QUESTIONS:
            maker = list(KINDS)[rng.integers(len(KINDS))]
            question = maker(found, rng)
            if question is None or question.text in asked:
                continue
            structural, semantic = KINDS[maker]
            entries[f"{index:04d}{len(asked)}"] = {
                "question": question.text,
                "answer": question.answer,
                "imageId": image,
                "isBalanced": True,
                "types": {"structural": structural, "semantic": semantic},
                "groups": {"global": semantic if structural == "query" else None, "local": None},
            }
            asked.add(question.text)
    (folder / "testdev_balanced_questions.json").write_text(json.dumps(entries, indent=1))
