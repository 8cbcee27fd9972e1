"""OneIG-Bench's image folder: ``CLASS/MODEL/ID.webp``, a grid of 2 x 2 drawings of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harmon_eval.core import Answer, Drawn, Instruments, Row, Unscorable
from harmon_eval.files.found import pictures
from harmon_eval.files.images import read_rgb
from harmon_eval.tasks.oneig.files import CLASSES

BLACK = "all black: OneIG-Bench leaves such images out"


def read_images(folder: Path) -> list[Drawn] | None:
    """The pictures by class and id; None where there are none, or where a class holds the folders
    of several models."""
    found = []
    for cls in CLASSES.values():
        if not (folder / cls).is_dir():
            continue
        models = [path for path in sorted((folder / cls).iterdir()) if path.is_dir()]
        if len(models) > 1:
            return None
        for file in pictures(models[0] if models else folder / cls, deep=False):
            found.append(Drawn(file, sample=f"{cls}-{file.stem[:3]}/0000", grid=True))
    return found or None


Mark = Callable[[Sequence[Answer], Instruments], Sequence[Row]]


def without_black(answers: Sequence[Answer], instruments: Instruments, mark: Mark) -> list[Row]:
    """The rows of ``mark``; an image that is all black stands for one that was not drawn."""
    black = [_is_black(answer) for answer in answers]
    drawn = [answer for answer, own in zip(answers, black, strict=True) if not own]
    rows = iter(mark(drawn, instruments) if drawn else ())
    return [{"unscored": BLACK} if own else next(rows) for own in black]


def _is_black(answer: Answer) -> bool:
    try:
        return not read_rgb(answer.image).any()
    except Unscorable:
        return False  # the instrument says what is wrong with it
