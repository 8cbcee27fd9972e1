"""SEED-Bench's file, with nine kinds of questions in place of its nine dimensions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.questions import Maker, beside, color, count, place, shape
from harmon_eval.suites.mini.quiz import options, picture, shown_and_asked

SEED = 14_232
QUESTIONS = 28  # of each kind
KINDS: dict[str, tuple[Maker, str]] = {
    "Scene Understanding": (count, "two"),
    "Instance Identity": (shape, "two"),
    "Instance Attributes": (color, "two"),
    "Instance Location": (place, "two"),
    "Instances Counting": (count, "same"),
    "Spatial Relation": (beside, "two"),
    "Instance Interaction": (place, "three"),
    "Visual Reasoning": (shape, "three"),
    "Text Recognition": (color, "four"),
}


def make(folder: Path) -> None:
    entries: list[dict[str, object]] = []
    for kind, (maker, form) in enumerate(KINDS.values(), start=1):
        for index in range(QUESTIONS):
            rng = np.random.default_rng((SEED, kind, index))
            found, question = shown_and_asked(rng, form, maker, wrong=3)
            texts, right = options(question, rng)
            picture(found, folder / "SEED-Bench-image" / f"{kind}_{index}")
            entries.append(
                {
                    "question_id": str(len(entries)),
                    "question_type_id": kind,
                    "data_type": "image",
                    "data_id": f"{kind}_{index}",
                    "question": question.text,
                    **{f"choice_{letter.lower()}": text for letter, text in texts.items()},
                    "answer": right,
                }
            )
    types = {name: number for number, name in enumerate(KINDS, start=1)}
    content = {"questions": entries, "question_type": types}
    (folder / "SEED-Bench.json").write_text(json.dumps(content, indent=1))
