"""GQA's testdev_balanced questions: the official file, or a copy with the images inside.

Source: GQA 1.2. Copies: the hub's two tables (lmms-lab/GQA), joined by image, and VLMEvalKit's
GQA_TestDev_Balanced.tsv, which has neither types nor groups.
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
from harmon_eval.files.question_files import an_object, field, find_image, read_json, read_parquet

JSON, TSV = "testdev_balanced_questions.json", "GQA_TestDev_Balanced.tsv"
HUB = "testdev_balanced_{}/testdev-*.parquet"
PATTERNS = (JSON, TSV, HUB.format("instructions"))
OFFICIAL = Source(
    PATTERNS,
    "testdev_balanced_questions.json of GQA's questions1.2.zip and images.zip, unpacked,",
    (vlmevalkit_table("VLMEval/GQA_TestDev_Balanced.tsv", "99b62f22e224d9b2f32dcbe41359d1c9"),),
)
# Steps of a question's program that the official script does not count as reasoning.
NO_STEP = ("exist", "query: name", "choose name")


@dataclass(frozen=True)
class Question:
    """``target`` holds the answer, the types, the global group ("" if none), and the lengths in
    words and in steps of reasoning (0 if not known)."""

    number: str
    text: str
    target: Mapping[str, Any]
    image: str
    file: Path


def read_questions(folder: Path) -> Iterator[Question]:
    """Balanced questions only; ids are strings, some with leading zeros. Raises UserError."""
    packed = find_files(folder, [HUB.format("instructions")])
    if (folder / JSON).is_file() or not ((folder / TSV).is_file() or packed):
        entries = read_json(folder / JSON)
        if not isinstance(entries, dict):
            raise UserError(f"{folder / JSON} is no object of questions: get it again")
        for number, entry in entries.items():
            where = f"{folder / JSON}, question {str(number)[:40]}"
            entry = an_object(entry, where)
            if entry.get("isBalanced", True):
                name = field(entry, "imageId", where)
                image = find_image(f"{name}.jpg", [folder / "images"])
                yield _question(number, entry, name, image, where)
    elif (folder / TSV).is_file():
        for row, (image, *_) in read_tsv_images(folder / TSV):
            where = f"{folder / TSV}, row {row['index']}"
            text = field(row, "question", where)
            unknown = {"structural": "", "semantic": "", "global": "", "steps": 0}
            target = {"answer": field(row, "answer", where), "words": len(text.split()), **unknown}
            yield Question(row["index"], text, target, image.stem, image)
    else:
        yield from _joined(folder, packed)


def _joined(folder: Path, packed: list[Path]) -> Iterator[Question]:
    files = find_files(folder, [HUB.format("images")])
    images = {str(row.get("id")): image for row, (image, *_) in read_parquet_images(files)}
    for file in packed:
        for entry in read_parquet(file):
            where = f"{file}, question {entry.get('id')}"
            name = field(entry, "imageId", where)
            if name not in images:
                raise UserError(f"{where}: {folder / HUB.format('images')} lacks image {name!r}")
            if entry.get("isBalanced", True):
                yield _question(field(entry, "id", where), entry, name, images[name], where)


def _question(
    number: str, entry: Mapping[str, Any], name: str, image: Path, where: str
) -> Question:
    types, text = an_object(entry.get("types"), f"{where}: types"), field(entry, "question", where)
    program = entry.get("semantic") or ()
    if not isinstance(program, list | tuple):
        raise UserError(f"{where}: semantic must be a list: get the file again")
    parts = [an_object(step, f"{where}: a step of semantic") for step in program]
    steps = [f"{step.get('operation')}: {step.get('argument')}" for step in parts]
    groups = an_object(entry.get("groups"), f"{where}: groups")
    target = {
        "answer": field(entry, "answer", where),
        "structural": field(types, "structural", where),
        "semantic": field(types, "semantic", where),
        "global": str(groups.get("global") or ""),
        "words": len(text.split()),
        "steps": sum(not any(idle in step for idle in NO_STEP) for step in steps),
    }
    return Question(number, text, target, name, image)
