"""MME's release folder: fourteen kinds of questions stand where MME has fourteen subtasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.questions import (
    YES_OR_NO,
    Maker,
    color_holds,
    count_holds,
    exists,
    relation,
)
from harmon_eval.suites.mini.quiz import picture, yes_and_no

SEED = 2374
IMAGES = 10
SUBTASKS: dict[str, tuple[Maker, str]] = {
    "existence": (exists, "two"),
    "count": (count_holds, "same"),
    "position": (relation, "two"),
    "color": (color_holds, "two"),
    "posters": (exists, "one"),
    "celebrity": (color_holds, "three"),
    "scene": (exists, "four"),
    "landmark": (relation, "three"),
    "artwork": (exists, "same"),
    "OCR": (color_holds, "one"),
    "commonsense_reasoning": (relation, "four"),
    "numerical_calculation": (count_holds, "same"),
    "text_translation": (color_holds, "four"),
    "code_reasoning": (exists, "three"),
}
SPLIT_LAYOUT = ("artwork", "celebrity", "landmark", "posters", "scene")


def make(folder: Path) -> None:
    for number, (subtask, (maker, form)) in enumerate(SUBTASKS.items()):
        part, split = folder / subtask, subtask in SPLIT_LAYOUT
        texts = part / "questions_answers_YN" if split else part
        texts.mkdir(parents=True)
        for index in range(IMAGES):
            rng = np.random.default_rng((SEED, number, index))
            found, yes, no = yes_and_no(rng, form, maker)
            picture(found, (part / "images" if split else part) / f"{index:04d}.png")
            lines = f"{yes} {YES_OR_NO}\tYes\n{no} {YES_OR_NO}\tNo\n"
            (texts / f"{index:04d}.txt").write_text(lines)
