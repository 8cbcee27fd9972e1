"""MMBench's table: questions with every rotation of their options, images in base64."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.questions import Maker, beside, color, count, place, shape
from harmon_eval.suites.mini.quiz import options, shown_and_asked
from harmon_eval.suites.mini.scenes import render

SEED = 1164
QUESTIONS = 13  # of each kind
KINDS: dict[tuple[str, str], tuple[Maker, str]] = {
    ("attribute_reasoning", "color"): (color, "two"),
    ("finegrained_perception (instance-level)", "shape"): (shape, "two"),
    ("coarse_perception", "number"): (count, "same"),
    ("finegrained_perception (cross-instance)", "neighbour"): (beside, "two"),
    ("relation_reasoning", "side"): (place, "two"),
    ("logic_reasoning", "corner"): (place, "four"),
}
COLUMNS = (
    "index",
    "question",
    "hint",
    "A",
    "B",
    "C",
    "D",
    "answer",
    "category",
    "image",
    "l2-category",
    "split",
)


def make(folder: Path) -> None:
    """Every tenth question has three options; rotations name the row that holds the image."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    base = 0
    for number, ((level, category), (maker, form)) in enumerate(KINDS.items()):
        for index in range(QUESTIONS):
            rng = np.random.default_rng((SEED, number, index))
            found, question = shown_and_asked(rng, form, maker, wrong=3)
            texts, right = options(question, rng, 3 if base % 10 == 9 else 4)
            image = io.BytesIO()
            Image.fromarray(render(found)).save(image, "PNG")
            letters = list(texts)
            for turn in range(len(letters)):
                turned = [*letters[turn:], *letters[:turn]]
                row: dict[str, object] = {
                    letter: texts[old] for letter, old in zip(letters, turned, strict=True)
                }
                row |= {
                    "index": base + 1_000_000 * turn,
                    "question": question.text,
                    "answer": letters[turned.index(right)],
                    "category": category,
                    "l2-category": level,
                    "split": "dev",
                    "image": str(base) if turn else base64.b64encode(image.getvalue()).decode(),
                }
                writer.writerow(row)
            base += 1
    (folder / "MMBench_DEV_EN.tsv").write_text(table.getvalue())
