"""PIE-Bench's files, made from the mini suite's world of edits: 6 of its 10 types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import caption, png, write_floor
from harmon_eval.suites.mini.edits import MiniEdit, sample_edit
from harmon_eval.suites.mini.scenes import render
from harmon_eval.tasks.pie.rules import encode_mask

SEED, PER_TYPE = 5_000, 10
KINDS = {"1": "replace", "2": "add", "3": "remove", "5": "move", "6": "recolour", "8": "background"}


@dataclass(frozen=True)
class Item:
    key: str
    type_id: str
    edit: MiniEdit


def items() -> Iterator[Item]:
    for type_id, kind in KINDS.items():
        for number in range(PER_TYPE):
            rng = np.random.default_rng([SEED, int(type_id), number])
            yield Item(f"{type_id}{number:011d}", type_id, sample_edit(rng, kind))


def make(folder: Path) -> None:
    """``mapping_file.json`` and ``annotation_images``; a mask covers what differs in the target."""
    rng = np.random.default_rng(SEED)
    found = {}
    for item in items():
        place = f"{item.type_id}_shapes/{item.key}.png"
        file = folder / "annotation_images" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(item.edit.source))
        changed = (render(item.edit.source) != render(item.edit.target)).any(axis=2)
        found[item.key] = {
            "image_path": place,
            "original_prompt": caption(item.edit.source),
            "editing_prompt": caption(item.edit.target),
            "editing_instruction": item.edit.instruction,
            "editing_type_id": item.type_id,
            "blended_word": "",
            "mask": encode_mask(changed),
        }
        write_floor(folder, place.removesuffix(".png"), item.edit, rng)
    (folder / "mapping_file.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
