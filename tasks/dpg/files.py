"""DPG-Bench's files: ``prompts/*.txt``, and ``dpg_bench.csv`` with the questions about each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from harmon_eval.core import Remote, Sample, Source, UserError
from harmon_eval.files.question_files import read_separated, say_fewer
from harmon_eval.metrics.text import counted
from harmon_eval.tasks.checklist.files import Point

logger = logging.getLogger(__name__)
FILE = "dpg_bench.csv"
PROMPTS = 1065
COLUMNS = ("item_id", "proposition_id", "dependency", "tuple", "question_natural_language")
OFFICIAL = Source(
    files=(FILE,),
    text="the folder dpg_bench of TencentQQGYLab/ELLA (dpg_bench.csv, prompts/*.txt)",
    downloads=(
        Remote(
            "https://github.com/TencentQQGYLab/ELLA/archive/3c228f1.zip",
            "ELLA.zip",
            unpack=r"[^/]+/dpg_bench/(dpg_bench\.csv|prompts/[\w-]+\.txt)",
        ),
    ),
)


def broad(kind: str) -> str:
    """ "attribute" of "attribute - color"."""
    return kind.split(" - ")[0].strip()


def read_questions(file: Path) -> tuple[dict[str, list[Point]], str]:
    """Questions by item, in file order, and the item of the first row. DSG's files have this form
    too.

    Raises UserError naming the row and the column."""
    rows = read_separated(file)
    if not rows:
        raise UserError(f"{file} holds no questions")
    found: dict[str, list[Point]] = {}
    for number, row in enumerate(rows, start=2):
        if missing := [name for name in COLUMNS if row.get(name) is None]:
            raise UserError(f"{file}, row {number}: the column {missing[0]!r} is missing")
        try:
            proposition = int(row["proposition_id"])
            parents = tuple(int(part) for part in row["dependency"].split(","))
        except ValueError:
            raise UserError(
                f"{file}, row {number}: proposition_id and dependency must be numbers, "
                "the latter separated by commas"
            ) from None
        text = row["question_natural_language"].strip()
        if not row["item_id"].strip() or not text:
            raise UserError(f"{file}, row {number}: it needs an item_id and a question")
        question = Point(
            str(proposition),
            text,
            parents=tuple(str(parent) for parent in parents if parent != 0),
            kind=row["tuple"].split("(")[0].strip(),
        )
        item = found.setdefault(row["item_id"], [])
        if any(other.id == question.id for other in item):
            raise UserError(
                f"{file}, row {number}: question {proposition} of {row['item_id']!r} occurs twice"
            )
        item.append(question)
    return found, rows[0]["item_id"]


def questions_of(sample: Sample) -> list[Point]:
    """The questions that a sample's target holds."""
    return [
        Point(str(number), text, parents=tuple(map(str, parents)), kind=kind)
        for number, text, parents, kind in sample.target["questions"]
    ]


def say_gaps(
    folder: Path, prompts: Sequence[Path], questions: Mapping[str, object], suite: str
) -> None:
    """A warning for prompts without questions, questions without a prompt, and fewer prompts than
    are published."""
    if lost := sorted(questions.keys() - {file.stem for file in prompts}):
        logger.warning(
            "%s: %s without a prompt, such as %r",
            folder / FILE,
            counted(len(lost), "item"),
            lost[0],
        )
    if bare := [file.name for file in prompts if file.stem not in questions]:
        logger.warning(
            "%s: no questions about %s, such as %s: get the file again",
            folder / FILE,
            counted(len(bare), "prompt"),
            bare[0],
        )
    if suite == "official":
        say_fewer(len(prompts), PROMPTS, "prompt", folder / "prompts")
