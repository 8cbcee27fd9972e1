"""A checklist about shapes in the neutral format, with points that depend on others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.language import article
from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES
from harmon_eval.tasks.checklist.files import ITEMS, PROTOCOL, Item, Point, line
from harmon_eval.tasks.checklist.rules import Protocol, Step

SEED, PROMPTS = 4_096, 24
TOML = """\
ask = "each"
reply = "word"
dependency = "transitive"
item = "weighted"
total = [{ mean = "items", by = ["length"] }, { mean = "below" }]
"""
RULES = Protocol(item="weighted", total=(Step("items", ("length",)), Step("below")))


def items() -> list[Item]:
    """Two shapes, each with a colour; in every second prompt also their relation."""
    return [_item(index) for index in range(PROMPTS)]


def _item(index: int) -> Item:
    rng = np.random.default_rng((SEED, index))
    a, b = map(str, rng.permutation(list(SHAPES))[:2])
    first, second = map(str, rng.permutation(list(COLORS))[:2])
    relation = RELATIONS[rng.integers(len(RELATIONS))]
    points = [
        Point("1", f"Is there {article(a)}?", kind="object"),
        Point("2", f"Is there {article(b)}?", kind="object"),
        Point("3", f"Is the {a} {first}?", parents=("1",), kind="attribute/color"),
        Point("4", f"Is the {b} {second}?", parents=("2",), kind="attribute/color"),
        Point("5", "Is the background grey?", kind="attribute/background"),
    ]
    between, length = "and", "short"
    if index % 2:
        between, length = relation, "long"
        text = f"Is the {a} {relation} the {b}?"
        points.append(Point("6", text, parents=("1", "2"), weight=2.0, kind="relation/spatial"))
    prompt = f"a photo of {article(f'{first} {a}')} {between} {article(f'{second} {b}')}"
    return Item(f"{index:03d}", tuple(points), prompt, {"length": length})


def make(folder: Path) -> None:
    (folder / ITEMS).write_text("".join(line(item) + "\n" for item in items()), encoding="utf-8")
    (folder / PROTOCOL).write_text(TOML, encoding="utf-8")
