"""RISEBench's files, made from the mini suite's world of edits: 3 of its 4 categories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import caption, png, write_floor
from harmon_eval.suites.mini.edits import MiniEdit, sample_edit

SEED, PER_CATEGORY = 9_000, 12
KINDS = {
    "temporal_reasoning": "recolour",
    "causal_reasoning": "remove",
    "spatial_reasoning": "move",
}


@dataclass(frozen=True)
class Item:
    category: str
    key: str
    edit: MiniEdit


def items() -> Iterator[Item]:
    for place, (category, kind) in enumerate(KINDS.items()):
        for number in range(PER_CATEGORY):
            rng = np.random.default_rng([SEED, place, number])
            name = f"{category.partition('_')[0]}_{number + 1}"
            yield Item(category, name, sample_edit(rng, kind, unseen=number % 2 == 0))


def make(folder: Path) -> None:
    """``data_total.json`` with the images of each category."""
    rng = np.random.default_rng(SEED)
    entries = []
    for item in items():
        place = f"{item.category}_images/{item.key}.png"
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_bytes(png(item.edit.source))
        entries.append(
            {
                "index": item.key,
                "category": item.category,
                "subtask": item.edit.kind,
                "instruction": item.edit.instruction,
                "image": place,
                "reference": caption(item.edit.target),
                "reasoning_img": True,
            }
        )
        write_floor(folder, f"{item.category}/{item.key}", item.edit, rng)
    (folder / "data_total.json").write_text(json.dumps(entries, indent=1), encoding="utf-8")
