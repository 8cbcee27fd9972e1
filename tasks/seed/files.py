"""SEED-Bench's image questions: SEED-Bench.json, or a copy with the images inside.

Source: AILab-CVC/SEED-Bench @ 991e849. Copies: the hub's Parquet files (lmms-lab/SEED-Bench), with
the columns of the original, and VLMEvalKit's SEEDBench_IMG.tsv.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval.core import Source, UserError
from harmon_eval.files.packed_questions import (
    find_files,
    read_parquet_images,
    read_tsv_images,
    vlmevalkit_table,
)
from harmon_eval.files.question_files import field, find_image, read_json

DIMENSIONS = dict(
    enumerate(
        (
            "Scene Understanding",
            "Instance Identity",
            "Instance Attributes",
            "Instance Location",
            "Instances Counting",
            "Spatial Relation",
            "Instance Interaction",
            "Visual Reasoning",
            "Text Recognition",
        ),
        start=1,
    )
)
JSON, TSV, HUB = "SEED-Bench.json", "SEEDBench_IMG.tsv", ("data/test-*.parquet", "test-*.parquet")
PATTERNS = (JSON, TSV, *HUB)
OFFICIAL = Source(
    PATTERNS,
    "SEED-Bench.json and SEED-Bench-image.zip, unpacked, of the dataset AILab-CVC/SEED-Bench",
    (
        vlmevalkit_table(
            "benchmarks/SEEDBench/SEEDBench_IMG.tsv", "68017231464752261a2526d6ca3a10c0"
        ),
    ),
)


@dataclass(frozen=True)
class Question:
    """``image`` is what questions about the same picture share."""

    number: str
    dimension: str
    text: str
    options: Mapping[str, str]
    answer: str
    image: str
    file: Path


def read_questions(folder: Path) -> Iterator[Question]:
    """Image questions only. Raises UserError."""
    if not (folder / JSON).is_file():
        if (file := folder / TSV).is_file():
            for row, (image, *_) in read_tsv_images(file):
                yield _of_tsv(row, image, str(file))
            return
        if files := find_files(folder, HUB):
            for row, (image, *_) in read_parquet_images(files, about_an_image):
                yield _of_original(row, image, str(folder))
            return
    file = folder / JSON
    content = read_json(file)
    entries = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise UserError(f"{file} holds no list of questions: get it again")
    for entry in filter(about_an_image, entries):
        image = find_image(field(entry, "data_id", str(file)), [folder / "SEED-Bench-image"])
        yield _of_original(entry, image, str(file))


def about_an_image(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("data_type", "image") == "image")


def _of_original(entry: Mapping[str, Any], image: Path, file: str) -> Question:
    number = field(entry, "question_id", file)
    where = f"{file}, question {number}"
    kind = field(entry, "question_type_id", where)
    if not kind.isdigit() or int(kind) not in DIMENSIONS:
        raise UserError(f"{where}: {kind[:60]!r} is no dimension of images: get the file again")
    return Question(
        number,
        DIMENSIONS[int(kind)],
        field(entry, "question", where),
        {letter: field(entry, f"choice_{letter.lower()}", where) for letter in "ABCD"},
        field(entry, "answer", where),
        field(entry, "data_id", where),
        image,
    )


def _of_tsv(row: Mapping[str, Any], image: Path, file: str) -> Question:
    where = f"{file}, row {row.get('index')}"
    dimension = field(row, "category", where).replace("_", " ")
    if dimension not in DIMENSIONS.values():
        raise UserError(f"{where}: {dimension[:60]!r} is no dimension of images: get it again")
    return Question(
        field(row, "index", where),
        dimension,
        field(row, "question", where),
        {letter: field(row, letter, where) for letter in "ABCD"},
        field(row, "answer", where),
        image.stem,
        image,
    )
