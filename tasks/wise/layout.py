"""WISE's image folder: ``1.png`` ... ``1000.png``, by ``prompt_id``."""

from __future__ import annotations

import re
from pathlib import Path

from harmon_eval.core import Drawn
from harmon_eval.files.found import pictures


def read_images(folder: Path) -> list[Drawn] | None:
    """The pictures whose name is a number from 1 to 1000; None where there are none."""
    found = pictures(folder, deep=False)
    numbered = (file for file in found if re.fullmatch(r"[1-9]\d{0,2}|1000", file.stem))
    return [Drawn(file, sample=file.stem) for file in numbered] or None
