"""RISEBench's list of edits, rubrics and result folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval.core import Answer, Drawn, UserError
from harmon_eval.files.drawn import inside
from harmon_eval.files.found import pictures
from harmon_eval.files.question_files import read_text
from harmon_eval.tasks.rise.rules import CATEGORIES

PATTERNS = ("datav2_total*.json", "data_total*.json")
RUBRICS = {
    "consistency": "{instruct}",
    "reasoning": "{instruct}",
    "plausibility": "",
    "logical_consistency": "{instruct}",
    "logical_reasoning": "{instruct}",
}


@dataclass(frozen=True)
class Item:
    """``before``: what the judge sees as the original, the source or a reference image.

    ``shown``: whether it sees that for the reasoning too."""

    key: str
    category: str
    subtask: str
    instruction: str
    source: Path
    before: Path
    reference: str
    shown: bool
    consistency_free: bool


def read_items(folder: Path) -> Iterator[Item]:
    """Raises UserError for an unknown category, a missing image, or a file with a flaw."""
    listed = (found for p in PATTERNS for found in sorted(folder.glob(p)))
    file = next(listed, folder / "data_total.json")
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, list):
        raise UserError(f"{file} must hold a list of edits")
    for number, entry in enumerate(content, 1):
        where = f"{file}, edit {number}"
        fields = ("index", "category", "instruction", "image")
        if not isinstance(entry, dict) or any(not entry.get(name) for name in fields):
            raise UserError(f"{where}: needs the fields {', '.join(fields)}")
        if entry["category"] not in CATEGORIES:
            raise UserError(f"{where}: {entry['category']!r} is no category of RISEBench")
        yield _item(folder, entry, where)


def _item(folder: Path, entry: Mapping[str, Any], where: str) -> Item:
    source = _image(folder, entry["image"], where)
    other = entry.get("reference_img")
    before = _image(folder, other, where) if other else source
    return Item(
        key=str(entry["index"]),
        category=entry["category"],
        subtask=str(entry.get("subtask") or ""),
        instruction=str(entry["instruction"]),
        source=source,
        before=before,
        reference=str(entry.get("reference") or entry.get("reference_txt") or ""),
        shown=bool(other or entry.get("reasoning_img")),
        consistency_free=bool(entry.get("consistency_free")),
    )


def _image(folder: Path, name: object, where: str) -> Path:
    file = folder / str(name)
    if not isinstance(name, str) or not file.is_file():
        raise UserError(f"{where}: the image {name!r} is missing: put it beside the list")
    return inside(folder, file)


def read_images(folder: Path) -> list[Drawn] | None:
    """``images/CATEGORY/INDEX.png`` (or another ending); None for any other folder."""
    found = [
        Drawn(file, sample=f"{category}/{file.stem}")
        for category in CATEGORIES
        if (folder / "images" / category).is_dir()
        for file in pictures(folder / "images" / category, deep=False)
    ]
    return found or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    return {f"images/{answer.sample.id}.png": answer.image for answer in answers}
