"""Scenes with questions, from which the mini suite builds data for the question benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.questions import Maker, Question
from harmon_eval.suites.mini.scenes import COLORS, SHAPES, Scene, compose, render

LETTERS = "ABCD"
FORMS = ("one", "two", "three", "four", "same")


def distinct_kinds(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """(shape, colour) of ``count`` objects, no two alike."""
    kinds = [(shape, color) for shape in SHAPES for color in COLORS]
    return [kinds[i] for i in rng.choice(len(kinds), size=count, replace=False)]


def scene(rng: np.random.Generator, form: str) -> Scene:
    """One to four distinct objects, or two to four of one kind (``same``)."""
    if form == "same":
        return compose(rng, distinct_kinds(rng, 1) * int(rng.integers(2, 5)))
    return compose(rng, distinct_kinds(rng, FORMS.index(form) + 1))


def picture(of: Scene, file: Path) -> None:
    """Write the scene in the format of the file's suffix; without a suffix, as PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    jpeg = file.suffix in (".jpg", ".jpeg")
    Image.fromarray(render(of)).save(file, "JPEG" if jpeg else "PNG", quality=95)


def shown_and_asked(
    rng: np.random.Generator, form: str, maker: Maker, wrong: int = 0
) -> tuple[Scene, Question]:
    """A scene of this form and one of the maker's questions, with enough wrong answers."""
    while True:
        found = scene(rng, form)
        question = maker(found, rng)
        if question is not None and len(question.wrong) >= wrong:
            return found, question


def yes_and_no(rng: np.random.Generator, form: str, maker: Maker) -> tuple[Scene, str, str]:
    """A scene with two of the maker's questions: one whose answer is yes, and one with no."""
    while True:
        found = scene(rng, form)
        texts: dict[str, str] = {}
        for _ in range(12):
            if question := maker(found, rng):
                texts.setdefault(question.answer, question.text)
        if texts.keys() >= {"yes", "no"}:
            return found, texts["yes"], texts["no"]


def options(
    question: Question, rng: np.random.Generator, count: int = 4
) -> tuple[dict[str, str], str]:
    """The options by letter, one of them right, and the letter of the right one."""
    wrong = [question.wrong[i] for i in rng.choice(len(question.wrong), count - 1, replace=False)]
    right = int(rng.integers(count))
    texts = [*wrong[:right], question.answer, *wrong[right:]]
    return dict(zip(LETTERS, texts, strict=False)), LETTERS[right]
