"""MMBench's tables: VLMEvalKit's TSV files (as published), or the hub's Parquet files.

Sources: open-compass/MMBench @ 20faed3; the hub's copy lmms-lab/MMBench (configs en and cn, V1.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.packed_questions import find_files, read_parquet_images
from harmon_eval.files.question_files import read_tsv, tsv_images
from harmon_eval.replies.multiple_choice import MISSING

HUB = "{1}/{0}-*.parquet"  # language, then dev or test
PATTERNS = ("MMBench_*.tsv", HUB.format("dev", "en"), HUB.format("*", "*"))
IMAGE = "image"


def read_set(folder: Path, part: str) -> Iterator[tuple[dict[str, str], Path]]:
    """Rows of a set such as ``dev_en``, all texts, without the image's cell, and their images.

    What is missing is the empty text. Raises UserError."""
    file = folder / f"MMBench_{part.upper()}.tsv"
    if file.is_file():
        rows = read_tsv(file)
        images = tsv_images(file, rows)
        for row in rows:
            yield _texts(row), images[row["index"]]
        return
    files = find_files(folder, [HUB.format(*part.split("_"))] if part.count("_") == 1 else [])
    if not files:
        raise UserError(f"{file} is missing: put VLMEvalKit's file of that name there")
    for packed, (image, *_) in read_parquet_images(files):
        yield _texts(packed), image


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: "" if str(value).strip().lower() in MISSING else str(value)
        for name, value in row.items()
        if name and name != IMAGE
    }
