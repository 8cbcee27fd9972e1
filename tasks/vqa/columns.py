"""What the columns of a question file mean, by the names that people and other toolkits give them.

A column that is not read is said; one that looks like pictures or options is refused instead.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.images import SUFFIXES

logger = logging.getLogger(__name__)
Rows = Sequence[Mapping[str, Any]]

# What stands first is taken where a row has both, as VLMEvalKit's tables do.
IMAGES = (
    *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"),
    *("image_path", "image_paths", "img_path", "image_file", "image_files", "image_filename"),
)
NUMBERED = re.compile(r"(?:image|img|picture|photo)_?(\d{1,2})")
OPTIONS = ("options", "choices", "option", "choice")
LETTERED = re.compile(r"(?:(?:option|choice)_)?([a-z])|(?:option|choice)_?(\d{1,2})")
QUESTION, ANSWER = ("question",), ("answer", "answers")
HINT, ID, GROUP = ("hint", "context"), ("id",), ("group",)
REFERENCES = ("index", "id")  # what a short image cell of VLMEvalKit's tables may name
LIKE_IMAGES = re.compile(
    r"(?:^|_)(?:images?|imgs?|pics?|pictures?|photos?|figures?|screenshots?|frames?)(?:_|\d|$)"
)
LIKE_OPTIONS = re.compile(r"(?:^|_)(?:options?|choices?|candidates?|distractors?)(?:_|\d|$)|^.$")
MAX_SHOWN = 12


@dataclass(frozen=True)
class Columns:
    """Names of the columns by what they mean; ``letters`` are those of one option each."""

    question: str
    answer: str
    images: tuple[str, ...] = ()
    options: str = ""
    letters: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()
    id: str = ""
    group: str = ""
    references: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A column's name as it is compared: ``Image Path`` is ``image_path``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-]+", "_", name).casefold()


def understood(file: Path, rows: Rows) -> Columns:
    """Raises UserError where question or answer is missing, where two columns mean the same, and
    for one that looks like pictures or options but is not known."""
    names = list(dict.fromkeys(name for row in rows for name in row if name.strip()))
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(plain(name), name)) != name:
            raise UserError(f"{file}: the columns {other!r} and {name!r} mean the same: remove one")
    columns = Columns(
        question=_one(file, known, QUESTION, names),
        answer=_one(file, known, ANSWER, names),
        images=_images(file, known),
        options=_any(file, known, OPTIONS),
        letters=_letters(file, known),
        hints=tuple(known[name] for name in HINT if name in known),
        id=_any(file, known, ID),
        group=_any(file, known, GROUP),
        references=tuple(known[name] for name in REFERENCES if name in known),
    )
    read = {columns.question, columns.answer, columns.options, columns.id, columns.group}
    read |= {*columns.images, *columns.letters.values(), *columns.hints, *columns.references}
    rest = [name for name in names if name not in read]
    for name in rest:
        _refuse(file, name, [row.get(name) for row in rows], bool(columns.images))
    if rest:
        say(f"{file}: not read are the columns {_shown(rest)}")
    return columns


@lru_cache(maxsize=64)
def say(text: str) -> None:
    """Once: samples are made several times."""
    logger.warning("%s", text)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(name[:40] for name in names[:MAX_SHOWN]) + more


def _any(file: Path, known: Mapping[str, str], wanted: Sequence[str]) -> str:
    found = [known[name] for name in wanted if name in known]
    if len(found) > 1:
        raise UserError(f"{file}: the columns {_shown(found)} mean the same: remove one")
    return found[0] if found else ""


def _one(file: Path, known: Mapping[str, str], wanted: Sequence[str], names: Sequence[str]) -> str:
    if name := _any(file, known, wanted):
        return name
    raise UserError(
        f"{file}, row 1: the field {wanted[0]!r} is missing; the columns are {_shown(names)}"
    )


def _images(file: Path, known: Mapping[str, str]) -> tuple[str, ...]:
    numbers = {int(m[1]): name for key, name in known.items() if (m := NUMBERED.fullmatch(key))}
    named = tuple(known[name] for name in IMAGES if name in known)
    if numbers and named:
        both = [*named, *numbers.values()]
        raise UserError(f"{file}: pictures are in {_shown(both)}: keep one kind of column")
    return named or tuple(numbers[number] for number in sorted(numbers))


def numbered(columns: Columns) -> bool:
    """Whether each image column holds another picture of the question."""
    return bool(columns.images) and NUMBERED.fullmatch(plain(columns.images[0])) is not None


def _letters(file: Path, known: Mapping[str, str]) -> dict[str, str]:
    """Letter -> column of one option: A, B, C ...; option_a ...; option_1 ..."""
    found: dict[str, str] = {}
    for key, name in known.items():
        if match := LETTERED.fullmatch(key):
            number = int(match[2]) - 1 if match[2] else 0
            letter = match[1].upper() if match[1] else chr(ord("A") + number)
            if (other := found.setdefault(letter, name)) != name:
                raise UserError(
                    f"{file}: the columns {other!r} and {name!r} are both option {letter}: "
                    "remove one"
                )
    # option0, option1 ... count from 0
    if "@" in found:
        found = {chr(ord(letter) + 1): name for letter, name in found.items()}
    expected = [chr(ord("A") + place) for place in range(len(found))]
    if found and (sorted(found) != expected or len(found) < 2):
        raise UserError(
            f"{file}: the columns {_shown(list(found.values()))} look like options, but not from "
            "A on without a gap: rename or remove them"
        )
    return dict(sorted(found.items()))


def _refuse(file: Path, name: str, values: Sequence[Any], with_images: bool) -> None:
    """Raises UserError for a column that looks like pictures or options."""
    if LIKE_OPTIONS.search(plain(name)):
        raise UserError(
            f"{file}: the column {name!r} looks like options and is not read: call it options (a "
            "list) or A, B, C ..., or remove it"
        )
    pictures = any(map(is_like_picture, values))
    if pictures or (LIKE_IMAGES.search(plain(name)) and not with_images):
        raise UserError(
            f"{file}: the column {name!r} looks like pictures and is not read: call it image (one "
            "a row) or images (a list), or remove it"
        )


def is_like_picture(value: Any) -> bool:
    """Bytes, the name or URL of a picture, or base64 of one."""
    if isinstance(value, list | tuple):
        return any(map(is_like_picture, value))
    if isinstance(value, Mapping):
        return isinstance(value.get("bytes"), bytes)
    if isinstance(value, str):
        text = value.strip()
        name = text.lower().endswith(SUFFIXES) and not re.search(r"\s", text)
        return name or text.startswith(("data:image/", "iVBORw0KGgo", "/9j/"))
    return isinstance(value, bytes)
