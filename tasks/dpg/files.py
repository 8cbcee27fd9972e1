"""DPG-Bench's files: ``prompts/*.txt``, and ``dpg_bench.csv`` with the questions about each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import Remote, Source, UserError
from harmon_eval.files.question_files import read_separated

FILE = "dpg_bench.csv"
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


@dataclass(frozen=True)
class Question:
    """A yes/no question of an item. ``detailed`` is such as "attribute - color"; ``parents`` are
    the questions without whose yes this one's does not count."""

    number: int
    text: str
    parents: tuple[int, ...]
    detailed: str

    @property
    def broad(self) -> str:
        return self.detailed.split(" - ")[0].strip()


def read_questions(file: Path) -> tuple[dict[str, list[Question]], str]:
    """Questions by item, in file order, and the item of the first row.

    Raises UserError naming the row and the column."""
    rows = read_separated(file, ",")
    if not rows:
        raise UserError(f"{file} holds no questions")
    found: dict[str, list[Question]] = {}
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
        question = Question(
            proposition,
            row["question_natural_language"].strip(),
            tuple(parent for parent in parents if parent != 0),
            row["tuple"].split("(")[0].strip(),
        )
        item = found.setdefault(row["item_id"], [])
        if any(other.number == proposition for other in item):
            raise UserError(
                f"{file}, row {number}: question {proposition} of {row['item_id']!r} occurs twice"
            )
        item.append(question)
    return found, rows[0]["item_id"]
