"""Edits of the mini suite's scenes, in ImgEdit's format with the split beside the type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import png, write_floor
from harmon_eval.suites.mini.edits import KINDS, MiniEdit, sample_edit

FILE = "edits.json"
SEED, PER_KIND = 12_000, 24
SPLITS = ("seen", "unseen")


@dataclass(frozen=True)
class Item:
    key: str
    split: str
    edit: MiniEdit


def items() -> Iterator[Item]:
    """Of each kind as many edits with combinations that training leaves out as without."""
    for place, kind in enumerate(KINDS):
        for number in range(PER_KIND):
            rng = np.random.default_rng([SEED, place, number])
            split = SPLITS[number % 2]
            edit = sample_edit(rng, kind, unseen=split == "unseen")
            yield Item(f"{kind}-{number:02d}", split, edit)


def make(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    entries = {}
    for item in items():
        (folder / f"{item.key}.png").write_bytes(png(item.edit.source))
        entries[item.key] = {
            "id": f"{item.key}.png",
            "prompt": item.edit.instruction,
            "edit_type": item.edit.kind,
            "split": item.split,
        }
        write_floor(folder, item.key, item.edit, rng)
    (folder / FILE).write_text(json.dumps(entries, indent=1), encoding="utf-8")
