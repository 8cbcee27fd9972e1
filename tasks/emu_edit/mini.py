"""Emu Edit's table, made from the mini suite's world of edits: 4 of its kinds of edit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmon_eval.store.digests import sha256_of
from harmon_eval.suites.mini.edit_images import caption, png, write_floor
from harmon_eval.suites.mini.edits import MiniEdit, sample_edit

SEED, PER_KIND = 8_000, 12
# Those that change the caption: CLIP-dir is not defined for others.
KINDS = {"add": "add", "color": "recolour", "local": "replace", "remove": "remove"}


@dataclass(frozen=True)
class Item:
    kind: str
    number: int
    edit: MiniEdit


def items() -> Iterator[Item]:
    for place, (kind, own) in enumerate(KINDS.items()):
        for number in range(PER_KIND):
            rng = np.random.default_rng([SEED, place, number])
            yield Item(kind, place * PER_KIND + number, sample_edit(rng, own))


def make(folder: Path) -> None:
    """``data/test-00000-of-00001.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(SEED)
    rows = []
    for item in items():
        image = png(item.edit.source)
        rows.append(
            {
                "instruction": item.edit.instruction,
                "image": {"bytes": image, "path": f"{item.number}.png"},
                "task": item.kind,
                "split": "test",
                "idx": item.number,
                "hash": sha256_of(image)[:32],
                "input_caption": caption(item.edit.source),
                "output_caption": caption(item.edit.target),
            }
        )
        write_floor(folder, f"{item.kind}/{item.number}", item.edit, rng)
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data/test-00000-of-00001.parquet")
