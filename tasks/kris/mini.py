"""KRIS-Bench's files, made from the mini suite's world of edits: 5 of its 20 categories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import png, write_floor
from harmon_eval.suites.mini.edits import MiniEdit, sample_edit

SEED, PER_CATEGORY = 6_000, 10
KINDS = {
    "color_change": "recolour",
    "count_change": "number",
    "multi-instruction_execution": "hybrid",
    "position_movement": "move",
    "size_adjustment": "resize",
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
            yield Item(category, str(number + 1), sample_edit(rng, kind, unseen=number % 2 == 0))


def make(folder: Path) -> None:
    """``KRIS_Bench/CATEGORY/annotation.json`` with the source images beside it."""
    rng = np.random.default_rng(SEED)
    found: dict[str, dict[str, dict[str, str]]] = {}
    for item in items():
        own = folder / "KRIS_Bench" / item.category
        own.mkdir(parents=True, exist_ok=True)
        (own / f"{item.key}.png").write_bytes(png(item.edit.source))
        entry = {"ori_img": f"{item.key}.png", "ins_en": item.edit.instruction, "explain_en": ""}
        found.setdefault(item.category, {})[item.key] = entry
        write_floor(folder, f"{item.category}/{item.key}", item.edit, rng)
    for category, entries in found.items():
        file = folder / "KRIS_Bench" / category / "annotation.json"
        file.write_text(json.dumps(entries, indent=1), encoding="utf-8")
