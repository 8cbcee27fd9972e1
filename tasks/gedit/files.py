"""GEdit-Bench's table, result folder and tables of scores, as the hub and its scripts have them."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Answer, Drawn, Source, UserError
from harmon_eval.files.found import pictures, whole_set
from harmon_eval.files.packed_images import read_rows
from harmon_eval.files.packed_questions import find_files

if TYPE_CHECKING:
    import pandas as pd

GROUPS = (
    "background_change",
    "color_alter",
    "material_alter",
    "motion_change",
    "ps_human",
    "style_change",
    "subject-add",
    "subject-remove",
    "subject-replace",
    "text_change",
    "tone_transfer",
)
LANGUAGES = ("en", "cn")
PATTERNS = ("data/train-*.parquet", "train-*.parquet", "*.parquet")
COLUMNS = ("task_type", "key", "instruction", "instruction_language", "Intersection_exist")
OFFICIAL = Source(
    files=PATTERNS,
    text="the Parquet files of the dataset stepfun-ai/GEdit-Bench (split train)",
    hub="stepfun-ai/GEdit-Bench",
)
OTHER_NAMES = {"zh": "cn"}  # of the language, in the folders that some scripts write
BESIDE = "_SRCIMG"  # what the source's file has behind the key


def read_table(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows with ``input_image`` as a file, the language's and key's ``occurrence`` counted from 0.

    Keys repeat within a group. Raises UserError for a file with a flaw."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for row in read_rows(find_files(folder, PATTERNS), COLUMNS, ("input_image",)):
        group, language, key = row["task_type"], row["instruction_language"], str(row["key"])
        if group not in GROUPS or language not in LANGUAGES:
            raise UserError(
                f"{folder}: the row of {key!r} has task_type {group!r} and language {language!r}: "
                f"known are {', '.join(GROUPS)}, and {' and '.join(LANGUAGES)}"
            )
        if not row["input_image"] or not isinstance(row["instruction"], str):
            raise UserError(f"{folder}: the row of {key!r} has no image or instruction")
        yield {**row, "key": key, "occurrence": seen[language, group, key]}
        seen[language, group, key] += 1


def sample_id(language: str, group: str, key: str, occurrence: int) -> str:
    return f"{language}/{group}/{key}/{occurrence}"


# -- result folders ------------------------------------------------------------------------------


def read_images(folder: Path) -> list[Drawn] | None:
    """``fullset/GROUP/LANGUAGE/KEY.png`` below the folder, or below one folder in it (the model's).

    ``KEY_1.png`` is the second sample with a key. None for any other folder. Raises UserError
    where there are several models."""
    place = whole_set(folder)
    return (list(_named(place)) or None) if place else None


def _named(place: Path) -> Iterator[Drawn]:
    for group in GROUPS:
        for language in (*LANGUAGES, *OTHER_NAMES):
            folder = place / group / language
            found = pictures(folder, deep=False) if folder.is_dir() else []
            keys = {file.stem for file in found}
            for file in found:
                if file.stem.endswith(BESIDE):
                    continue
                again = re.fullmatch(r"(.+)_([1-9]\d?)", file.stem)
                key, number = (
                    (again[1], int(again[2])) if again and again[1] in keys else (file.stem, 0)
                )
                name = sample_id(OTHER_NAMES.get(language, language), group, key, number)
                yield Drawn(file, sample=name)


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    """Results and sources where the original's scripts look for them, below the model's folder."""
    found: dict[str, Path] = {}
    for answer in answers:
        target = answer.sample.target
        key = target["key"] + (f"_{n}" if (n := target["occurrence"]) else "")
        place = f"fullset/{target['task_type']}/{target['language']}/{key}"
        found[f"{place}.png"] = answer.image
        found[f"{place}{BESIDE}.png"] = answer.sample.request.files[0]
    return found


# -- tables of scores ----------------------------------------------------------------------------


def score_tables(rows: pd.DataFrame) -> dict[str, str]:
    """The original's CSV files, for its statistics script: one a group, and all together.

    It takes the model's name from their names; here it is ``model``."""
    import pandas as pd

    lines = pd.DataFrame(
        {
            "source_image": rows["place"] + f"{BESIDE}.png",
            "edited_image": rows["place"] + ".png",
            "instruction": rows["instruction"],
            "sementics_score": rows["SC"],
            "quality_score": rows["PQ"],
            "intersection_exist": rows["intersection"],
            "instruction_language": rows["language"],
        }
    )
    found = {"model_combined_gpt_score.csv": _csv(lines)}
    for group, own in lines.groupby(rows["task_type"]):
        found[f"model_{group}_gpt_score.csv"] = _csv(own)
    return found


def _csv(lines: pd.DataFrame) -> str:
    buffer = io.StringIO()
    lines.to_csv(buffer, index=False)
    return buffer.getvalue()
