"""OmniContext's table, made from the mini suite's shapes: 3 of its 8 kinds of tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.suites.mini.edit_images import ignored, png

if TYPE_CHECKING:
    from harmon_eval.suites.mini.references import MiniReference

# With this seed the rules read every picture right that the judge sees, as JPEG.
SEED, PER_TYPE = 11_002, 16
KINDS = {"single_object": "single", "multi_object": "multi", "scene_object": "scene"}


@dataclass(frozen=True)
class Item:
    task_type: str
    key: str
    reference: MiniReference


def items() -> Iterator[Item]:
    from harmon_eval.suites.mini.references import sample_reference  # its rules import scipy

    for place, (task_type, kind) in enumerate(KINDS.items()):
        for number in range(PER_TYPE):
            rng = np.random.default_rng([SEED, place, number])
            key = hashlib.sha256(f"{task_type}/{number}".encode()).hexdigest()[:32]
            yield Item(task_type, key, sample_reference(rng, kind))


def make(folder: Path) -> None:
    """``data/train-00000-of-00001.parquet``, and what a model draws that sees no image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harmon_eval.suites.mini.references import drawn_blind

    rng = np.random.default_rng(SEED)
    rows = []
    for item in items():
        images = [{"bytes": png(scene), "path": None} for scene in item.reference.sources]
        rows.append(
            {
                "task_type": item.task_type,
                "key": item.key,
                "instruction": item.reference.instruction,
                "instruction_language": "en",
                "input_images": images,
            }
        )
        file = ignored(folder, f"{item.task_type}/{item.key}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(drawn_blind(item.reference, rng)))
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data/train-00000-of-00001.parquet")
