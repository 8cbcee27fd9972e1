"""What a log of another tool holds, whoever wrote it, and the reading that they share."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError

MAX_FILE = 2**32  # bytes of a log
MAX_DEPTH = 64
MAX_TEXT = 2**20  # characters of a question or a reply
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class LoggedSample:
    """One question. ``images``: bytes, or the name of a file that the log does not hold.

    ``reply`` is None where nothing was said; ``read`` is the answer that the tool read from it.
    ``marks`` are its marks by metric, and ``keys`` what else identifies the question, such as the
    ids of a benchmark. ``drawn`` are the pictures of the reply, None where it has none by its
    nature."""

    id: str
    question: str
    answers: list[str]
    reply: str | None
    read: str | None = None
    images: list[bytes | str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)
    error: str = ""
    group: str = ""
    keys: set[str] = field(default_factory=set)
    drawn: list[bytes | str] | None = None


@dataclass
class LoggedTask:
    """``stated``: totals by metric; ``lower``: metrics where less is better."""

    name: str
    samples: list[LoggedSample]
    stated: dict[str, float] = field(default_factory=dict)
    lower: set[str] = field(default_factory=set)


@dataclass
class Log:
    """``settings`` are what the tool says of model and generation, as plain values; ``said`` is
    what whoever imports the log must know of it."""

    tool: str
    model: str
    tasks: list[LoggedTask]
    version: str = ""
    fingerprint: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def text_of(file: Path) -> str:
    """Raises UserError for what is no file of text, or larger than any log."""
    try:
        if not file.is_file():  # a pipe would be waited for
            raise UserError(f"{file} is no file: give a log")
        if (size := file.stat().st_size) > MAX_FILE:
            raise UserError(f"{file} has {size:,} bytes, more than {MAX_FILE:,}: it is not read")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{file} is no UTF-8 text: it is not a log that is known here") from None


def parsed(text: str, where: object) -> Any:
    """JSON; NaN and infinity, which these tools write, are None. Raises UserError."""
    try:
        value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        _check_depth(value)
        return value
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is no sound JSON ({str(error)[:80]}): export it again") from None


def _finite(text: str) -> float | None:
    return value if math.isfinite(value := float(text)) else None


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inside: list[Any] = []
        for each in level:
            inside += each.values() if isinstance(each, dict) else each
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def objects(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file. Raises UserError that names the line."""
    for number, line in enumerate(text_of(file).split("\n"), start=1):
        if line.strip():
            value = parsed(line, f"{file}, line {number}")
            if not isinstance(value, dict):
                raise UserError(f"{file}, line {number} is no object: it is not a log of samples")
            yield value


def plain(value: Any) -> str:
    """Any value as text of limited length; nothing is an empty text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()[:MAX_TEXT]


def number(value: Any) -> float | None:
    """A finite number or a verdict; None for anything else."""
    if isinstance(value, bool | int | float) and math.isfinite(float(value)):
        return float(value)
    return None


def numbers(values: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, float]:
    """The entries that are numbers."""
    found = {str(k): number(v) for k, v in values.items() if k not in without}
    return {name: value for name, value in found.items() if value is not None}


def scalars(values: object) -> dict[str, Any]:
    """The entries of an object that are plain values, as settings are."""
    if not isinstance(values, Mapping):
        return {}
    kept = (str, int, float, bool)
    return {str(k)[:80]: v for k, v in values.items() if isinstance(v, kept) and len(str(v)) < 500}


def picture(value: str) -> bytes | str:
    """An image of a log: the bytes of a data URI, or else its name, which nothing opens here."""
    if not value.startswith("data:"):
        return value[:500]
    try:
        return base64.b64decode(value.partition(",")[2], validate=True)
    except binascii.Error:
        return "damaged image"


def lettered(choices: object) -> dict[str, str]:
    """Options by letter, of a list or of an object that has letters."""
    if isinstance(choices, Mapping):
        return {str(k): plain(v) for k, v in choices.items() if str(k) in LETTERS and k}
    if isinstance(choices, list) and len(choices) <= len(LETTERS):
        return {LETTERS[place]: plain(text) for place, text in enumerate(choices)}
    return {}
