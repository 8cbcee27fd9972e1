"""PIE-Bench's list of edits, and its folder of results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import Answer, Drawn, UserError
from harmon_eval.files.found import pictures
from harmon_eval.files.question_files import read_text

FILE, IMAGES = "mapping_file.json", "annotation_images"


def read_edits(file: Path) -> dict[str, Any]:
    """Key -> edit. Raises UserError for another file."""
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{file} must hold an object of key -> edit")
    return content


def read_images(folder: Path) -> list[Drawn] | None:
    """Results below ``annotation_images``, under the names of the sources."""
    place = folder / IMAGES if (folder / IMAGES).is_dir() else folder
    if not (folder / IMAGES).is_dir() and folder.name != IMAGES:
        return None
    names = ((file, str(file.relative_to(place).with_suffix(""))) for file in pictures(place))
    return [Drawn(file, sample=name) for file, name in names] or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    return {f"{IMAGES}/{answer.sample.target['place']}.png": answer.image for answer in answers}
