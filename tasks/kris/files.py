"""KRIS-Bench's folders: an ``annotation.json`` a category, the results by category and id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Answer, Drawn, UserError
from harmon_eval.files.drawn import inside
from harmon_eval.files.found import pictures
from harmon_eval.files.question_files import read_text
from harmon_eval.tasks.kris.rules import GROUP_OF, SCORES, WITH_KNOWLEDGE

if TYPE_CHECKING:
    import pandas as pd

PATTERNS = ("KRIS_Bench/*/annotation.json", "*/annotation.json")
RUBRICS = {
    "consistency": "{instruction}",
    "quality": "",
    "instruction": "{instruction}",
    "knowledge": "{instruction}",
}


@dataclass(frozen=True)
class Item:
    key: str
    category: str
    sources: tuple[Path, ...]
    instruction: str
    explanation: str


def read_items(folder: Path) -> Iterator[Item]:
    """Raises UserError for an unknown category, a missing image, or a file with a flaw."""
    files = next((found for p in PATTERNS if (found := sorted(folder.glob(p)))), [])
    for file in files:
        category = file.parent.name
        if category not in GROUP_OF:
            raise UserError(f"{file}: {category!r} is no category of KRIS-Bench")
        for key, entry in _object(file).items():
            where = f"{file}, entry {key!r}"
            if not isinstance(entry, dict) or not isinstance(entry.get("ins_en"), str):
                raise UserError(f"{where}: the field 'ins_en' is missing")
            given = entry.get("ori_img")
            names = given if isinstance(given, list) else [given]
            sources = tuple(_source(file.parent, name, where) for name in names)
            explanation = str(entry.get("explain_en") or "")
            yield Item(str(key), category, sources, entry["ins_en"], explanation)


def _object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold an object of id -> edit")
    return content


def _source(folder: Path, name: object, where: str) -> Path:
    file = folder / str(name)
    if not isinstance(name, str) or not file.is_file():
        raise UserError(f"{where}: the source image {name!r} is missing: put it beside the file")
    return inside(folder, file)


# -- results -------------------------------------------------------------------------------------


def read_images(folder: Path) -> list[Drawn] | None:
    """``CATEGORY/ID.jpg`` (or another ending); None for a folder without a category."""
    found = [
        Drawn(file, sample=f"{category}/{file.stem}")
        for category in GROUP_OF
        if (folder / category).is_dir()
        for file in pictures(folder / category, deep=False)
    ]
    return found or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    """Results by category and id; as PNG, where the original has JPEG."""
    return {f"{answer.sample.id}.png": answer.image for answer in answers}


def metrics_files(rows: pd.DataFrame) -> dict[str, str]:
    """``CATEGORY/metrics.json``: id -> scores, as the original writes them."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows.to_dict("records"):
        category, _, key = str(row["id"]).partition("/")
        names = SCORES if category in WITH_KNOWLEDGE else SCORES[:-1]
        scores = {f"{name}_score": int(row[name]) for name in names}
        found.setdefault(category, {})[key] = scores
    return {f"{c}/metrics.json": json.dumps(own, indent=2) for c, own in found.items()}
