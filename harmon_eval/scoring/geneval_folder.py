"""GenEval's image folder, by the rules of its own reader (djghosh13/geneval)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError


def read_folder(folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """(metadata, image file) pairs of IMAGES/00000/{metadata.jsonl, samples/0000.png}, sorted.

    Sub-folders whose name is all digits are prompts; the number itself is not used, only the
    ``metadata.jsonl`` inside decides. A file counts if its name begins with digits and ``.png``.
    Raises UserError on missing or malformed metadata."""
    for prompt in sorted(path for path in folder.iterdir() if path.name.isdigit()):
        file = prompt / "metadata.jsonl"
        try:
            metadata = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{file} is missing: each prompt folder holds its metadata line") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{file} must hold exactly one JSON object: {error}") from None
        samples = prompt / "samples"
        for image in sorted(samples.iterdir()) if samples.is_dir() else []:
            if image.is_file() and re.match(r"\d+\.png", image.name):
                yield metadata, image
