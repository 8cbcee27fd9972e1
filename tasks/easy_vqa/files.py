"""easy-VQA's files: ``questions.json`` with [question, answer, image], ``images/NUMBER.png``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import Source, UserError
from harmon_eval.files.packages import carried
from harmon_eval.files.question_files import find_image, read_json

QUESTIONS, IMAGES = "questions.json", "images"
COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")


def package(split: str) -> Path:
    """The folder of a split (train or test) in the package easy-vqa. Raises UserError."""
    return carried("easy_vqa", f"data/{split}", "easy-vqa", "real")


def make(folder: Path) -> None:
    """The test split as the package has it."""
    shutil.copytree(package("test"), folder, dirs_exist_ok=True)


OFFICIAL = Source(
    files=(QUESTIONS,),
    text=f"{QUESTIONS} and {IMAGES}/ of data/test in vzhou842/easy-VQA",
)


@dataclass(frozen=True)
class Question:
    text: str
    answer: str
    image: str
    file: Path

    @property
    def kind(self) -> str:
        """yes_no, color or shape, by the answer."""
        if self.answer in COLORS:
            return "color"
        return "shape" if self.answer in SHAPES else "yes_no"


def read_questions(folder: Path) -> list[Question]:
    """Raises UserError naming the question with a flaw."""
    file = folder / QUESTIONS
    rows = read_json(file)
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{file} must be a list of [question, answer, image]")
    found = []
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 3 or not str(row[2]).isdecimal():
            raise UserError(f"{file}, question {number}: it must be [question, answer, image]")
        text, answer, image = map(str, row)
        if answer not in ("yes", "no", *COLORS, *SHAPES):
            raise UserError(f"{file}, question {number}: {answer!r} is none of the 13 answers")
        picture = find_image(f"{image}.png", (folder / IMAGES,))
        found.append(Question(text, answer, image, picture))
    return found


def described(questions: list[Question]) -> dict[str, tuple[str, str, Path]]:
    """Image -> its colour, its shape and the file, where the answers to its questions say both."""
    known: dict[str, dict[str, str]] = {}
    files = {}
    for question in questions:
        files[question.image] = question.file
        words = question.text.rstrip("?").split()
        denied = "no" in words or "not" in words
        own = known.setdefault(question.image, {})
        for kind, names in (("color", COLORS), ("shape", SHAPES)):
            if question.kind == kind:
                own[kind] = question.answer
            elif question.kind == "yes_no" and (question.answer == "yes") != denied:
                own.update((kind, word) for word in words if word in names)
    return {i: (k["color"], k["shape"], files[i]) for i, k in known.items() if len(k) == 2}
