"""GEdit-Bench's table, made from the mini suite's world of edits: 6 of its 11 groups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.suites.mini.edit_images import png, write_floor
from harmon_eval.suites.mini.edits import MiniEdit, sample_edit
from harmon_eval.tasks.gedit.files import sample_id

SEED = 3_000
PER_GROUP = 20
KINDS = {
    "background_change": "background",
    "color_alter": "recolour",
    "motion_change": "move",
    "subject-add": "add",
    "subject-remove": "remove",
    "subject-replace": "replace",
}


@dataclass(frozen=True)
class Item:
    group: str
    key: str
    number: int
    edit: MiniEdit


def items() -> Iterator[Item]:
    """Half of the targets show combinations that training leaves out."""
    for place, (group, kind) in enumerate(KINDS.items()):
        for number in range(PER_GROUP):
            rng = np.random.default_rng([SEED, place, number])
            edit = sample_edit(rng, kind, unseen=number % 2 == 0)
            key = hashlib.sha256(f"{group}/{number}".encode()).hexdigest()[:32]
            yield Item(group, key, number, edit)


def make(folder: Path) -> None:
    """``data/train-00000-of-00001.parquet``; two thirds are in the intersection."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(SEED)
    rows = []
    for item in items():
        source = {"bytes": png(item.edit.source), "path": f"{item.key}.png"}
        rows.append(
            {
                "task_type": item.group,
                "key": item.key,
                "instruction": item.edit.instruction,
                "instruction_language": "en",
                "input_image": source,
                "input_image_raw": source,
                "Intersection_exist": item.number % 3 != 0,
            }
        )
        write_floor(folder, sample_id("en", item.group, item.key, 0), item.edit, rng)
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data/train-00000-of-00001.parquet")
