"""An example of a file of one's own questions: JSON lines, with and without options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.questions import Maker, color, count, exists, shape
from harmon_eval.suites.mini.quiz import options, picture, shown_and_asked

SEED = 7
QUESTIONS = 60
KINDS: tuple[tuple[Maker, str], ...] = (
    (color, "two"),
    (shape, "two"),
    (count, "same"),
    (exists, "two"),
)


def make(folder: Path) -> None:
    lines = []
    for index in range(QUESTIONS):
        rng = np.random.default_rng((SEED, index))
        maker, form = KINDS[index % len(KINDS)]
        found, question = shown_and_asked(rng, form, maker)
        picture(found, folder / "images" / f"{index}.png")
        row: dict[str, object] = {
            "image": f"images/{index}.png",
            "question": question.text,
            "answer": question.answer,
        }
        if len(question.wrong) >= 3 and index % 8 < 4:
            texts, _ = options(question, rng)
            row["options"] = list(texts.values())
        lines.append(json.dumps(row) + "\n")
    (folder / "questions.jsonl").write_text("".join(lines))
