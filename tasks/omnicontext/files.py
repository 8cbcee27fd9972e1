"""OmniContext's table, result folder and lines of scores, as the hub and its scripts have them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Answer, Drawn, Source, UserError
from harmon_eval.files.found import pictures, whole_set
from harmon_eval.files.packed_images import read_rows
from harmon_eval.files.packed_questions import find_files

if TYPE_CHECKING:
    import pandas as pd

TYPES = (
    "single_character",
    "single_object",
    "multi_character",
    "multi_object",
    "multi_character_object",
    "scene_character",
    "scene_object",
    "scene_character_object",
)
PATTERNS = ("data/train-*.parquet", "train-*.parquet", "*.parquet")
COLUMNS = ("task_type", "key", "instruction", "instruction_language")
OFFICIAL = Source(
    files=PATTERNS,
    text="the Parquet files of the dataset OmniGen2/OmniContext (split train)",
)


def read_table(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows with ``input_images`` as a tuple of files. Raises UserError for a file with a flaw."""
    seen: set[tuple[str, str]] = set()
    for row in read_rows(find_files(folder, PATTERNS), COLUMNS, ("input_images",)):
        key, kind = str(row["key"]), str(row["task_type"])
        # Papers say "multiple", and so may a copy of the data.
        kind = kind.replace("multiple_", "multi_")
        where = f"{folder}: the row of {key!r}"
        if kind not in TYPES or row["instruction_language"] != "en":
            raise UserError(
                f"{where} has task_type {row['task_type']!r} and language "
                f"{row['instruction_language']!r}: known are {', '.join(TYPES)}, and en"
            )
        images = row["input_images"]
        if not isinstance(row["instruction"], str) or not images or None in images:
            raise UserError(f"{where} lacks its instruction or an image")
        if (kind, key) in seen:
            raise UserError(f"{where}: {kind} has this key twice, so results cannot be told apart")
        seen.add((kind, key))
        yield {**row, "key": key, "task_type": kind}


def read_images(folder: Path) -> list[Drawn] | None:
    """``fullset/TASK_TYPE/KEY.png`` below the folder or below one folder in it; None for any other.

    Raises UserError where there are several models."""
    if (place := whole_set(folder)) is None:
        return None
    folders = {own.name.replace("multiple_", "multi_"): own for own in sorted(place.iterdir())}
    found = [
        Drawn(file, sample=f"{kind}/{file.stem}")
        for kind in TYPES
        if kind in folders
        for file in pictures(folders[kind], deep=False)
    ]
    return found or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    """Results where the original's script looks for them, below the model's folder."""
    return {f"fullset/{answer.sample.id}.png": answer.image for answer in answers}


def score_lines(rows: pd.DataFrame) -> dict[str, str]:
    """The original's ``TASK_TYPE/score.jsonl``, for its statistics script, and all together."""
    lines: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        kind, _, key = str(row["id"]).partition("/")
        line = {
            **{"key": key, "task_type": kind, "instruction": row["instruction"]},
            **{"instruction_language": "en", "output_image_path": f"fullset/{row['id']}.png"},
            **{"PF_score": row["PF"], "PF_score_reason": row["following_reply"]},
            **{"SC_score": row["SC"], "SC_score_reason": row["subjects_reply"]},
        }
        lines.setdefault(kind, []).append(json.dumps(line, ensure_ascii=False))
    found = {f"{kind}/score.jsonl": "\n".join(own) + "\n" for kind, own in lines.items()}
    return {**found, "combined_score.jsonl": "".join(found.values())}
