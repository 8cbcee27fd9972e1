"""MMBench's tables: VLMEvalKit's TSV files (as published), or the hub's Parquet files.

Sources: open-compass/MMBench @ 20faed3; the hub's copy lmms-lab/MMBench (configs en and cn, V1.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Source, UserError
from harmon_eval.files.packed_questions import (
    find_files,
    read_parquet_images,
    vlmevalkit_table,
)
from harmon_eval.files.question_files import read_tsv, tsv_images
from harmon_eval.replies.multiple_choice import MISSING, given_options

if TYPE_CHECKING:
    import pandas as pd

HUB = "{1}/{0}-*.parquet"  # language, then dev or test
PATTERNS = ("MMBench_*.tsv", HUB.format("dev", "en"), HUB.format("*", "*"))
IMAGE, OPTIONS = "image", "ABCD"
LEVELS = ("l2-category", "category")
SETS = (
    "dev_en",
    "test_en",
    "dev_cn",
    "test_cn",
    "dev_en_v11",
    "test_en_v11",
    "dev_cn_v11",
    "test_cn_v11",
)
# MD5 of VLMEvalKit's tables; V1.1 is not fetched.
TABLES = {
    "dev_en": "b6caf1133a01c6bb705cf753bb527ed8",
    "test_en": "6939fadb0ce626fefc0bdc9c64efc528",
    "dev_cn": "08b8fc3324a5ed74155350f57be69fbd",
    "test_cn": "7e1239baf0ee4c8b513e19705a0f317e",
}


def official(part: str) -> Source:
    """Where the table of a set such as ``dev_en`` comes from."""
    file = f"MMBench_{part.upper()}.tsv"
    text = f"VLMEvalKit's file {file}"
    if part not in TABLES:
        return Source(PATTERNS, text)
    table = vlmevalkit_table(f"benchmarks/MMBench/{file}", TABLES[part])
    return Source(PATTERNS, text, (table,))


def of_level(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Rows of the ability in ``circular_ABILITY``; of the finer level where both have that name."""
    broad, fine = (rows[level] == metric.removeprefix("circular_") for level in LEVELS)
    return fine if fine.any() else broad


def read_set(folder: Path, part: str) -> Iterator[tuple[dict[str, str], Path]]:
    """Rows of a set such as ``dev_en``, all texts, without the image's cell, and their images.

    What is missing is the empty text. Raises UserError."""
    file = folder / f"MMBench_{part.upper()}.tsv"
    if file.is_file():
        rows = read_tsv(file, needs=("index", IMAGE, "question"))
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
    def text(name: str, value: Any) -> str:
        missing = ("", "nan") if name in OPTIONS else MISSING
        return "" if value is None or str(value).strip().lower() in missing else str(value)

    return {name: text(name, value) for name, value in row.items() if name and name != IMAGE}


def options_of(row: Mapping[str, str], where: str) -> dict[str, str]:
    """Letter -> option. As in LLaVA's script they end at the first that is empty or the word None.

    But where more options follow, or the answer is that word, it is an option like any other, and
    an empty cell a fault of the table. Raises UserError."""
    texts = {letter: row.get(letter, "") for letter in OPTIONS}
    options = given_options(texts)
    after = [letter for letter in OPTIONS if letter not in options]
    more = [i for i in after if texts[i].strip().lower() not in MISSING or i == row.get("answer")]
    for letter in after[: after.index(more[-1]) + 1] if more else ():
        if not texts[letter].strip():
            raise UserError(f"{where}: option {letter} is empty, but {more[-1]} is asked for")
        options[letter] = texts[letter]
    return options
