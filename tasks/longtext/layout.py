"""LongText-Bench's image folder: ``0000_1.png`` ... ``0159_4.png``, by ``prompt_id`` and number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harmon_eval.core import Answer, Drawn
from harmon_eval.files.found import pictures


def read_images(folder: Path) -> list[Drawn] | None:
    """The pictures with such names, or ``0000.png`` for a single one; None where there are none."""
    found = []
    for file in pictures(folder, deep=False):
        if named := re.fullmatch(r"(\d{4})(?:_([1-9]\d{0,2}))?", file.stem):
            found.append(Drawn(file, sample=f"{named[1]}/{int(named[2] or 1) - 1:04d}"))
    return found or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    places = {}
    for answer in answers:
        prompt, _, index = answer.sample.id.partition("/")
        places[f"{prompt}_{int(index) + 1}.png"] = answer.image
    return places
