"""DPG-Bench's files: prompts about shapes, each with its graph of yes/no questions."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.suites.mini.language import NUMBERS, article, enumeration, plural
from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES

SEED = 1_065
PROMPTS = 60
COLUMNS = (
    "item_id",
    "text",
    "keywords",
    "proposition_id",
    "dependency",
    "category_broad",
    "category_detailed",
    "tuple",
    "question_natural_language",
)


def graph(rng: np.random.Generator) -> tuple[str, list[tuple[str, str, str]]]:
    """A prompt and its questions as (dependency, tuple, question), numbered from 1 in order."""
    shapes = [str(name) for name in rng.permutation(list(SHAPES))]
    colors = [str(name) for name in rng.permutation(list(COLORS))]
    form = rng.integers(4)
    count = (2, 3, 4, 1)[form]
    if form == 3:
        number = NUMBERS[rng.integers(2, 5)]
        prompt = f"{number} {colors[0]} {plural(shapes[0])}"
        counted = f"Are there {number} {plural(shapes[0])}?"
    names = [f"{color} {shape}" for color, shape in zip(colors, shapes, strict=False)][:count]
    questions = [("0", f"entity - whole ({s})", f"Is there {article(s)}?") for s in shapes[:count]]
    questions += [
        (
            str(i + 1),
            f"attribute - color ({shapes[i]}, {colors[i]})",
            f"Is the {shapes[i]} {colors[i]}?",
        )
        for i in range(count)
    ]
    if form == 0:
        relation = RELATIONS[rng.integers(len(RELATIONS))]
        prompt = f"{article(names[0])} {relation} {article(names[1])}"
        questions.append(
            (
                "1,2",
                f"relation - spatial ({shapes[0]}, {shapes[1]}, {relation})",
                f"Is the {shapes[0]} {relation} the {shapes[1]}?",
            )
        )
    elif form == 3:
        questions.append(("1", f"other - count ({shapes[0]}, =={number})", counted))
    else:
        prompt = enumeration([article(name) for name in names])
        questions.append(
            (
                "0",
                f"other - count (objects, =={NUMBERS[count]})",
                f"Are there {NUMBERS[count]} objects?",
            )
        )
    questions.append(("0", "global - background (grey)", "Is the background grey?"))
    return f"a photo of {prompt}", questions


def make(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    (folder / "prompts").mkdir()
    rows: list[dict[str, Any]] = []
    for item in map(str, range(PROMPTS)):
        prompt, questions = graph(rng)
        (folder / "prompts" / f"{item}.txt").write_text(prompt, encoding="utf-8")
        for number, (dependency, fact, question) in enumerate(questions, start=1):
            detailed = fact.split(" (")[0]
            values = (
                item,
                prompt,
                "",
                number,
                dependency,
                detailed.split(" - ")[0],
                detailed,
                fact,
                question,
            )
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    with (folder / "dpg_bench.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
