"""A file of one's own questions: its rows as questions with pictures, options and right answers.

Nothing in a row is passed over: what cannot be read is refused, with file, row and what to do.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.packed_questions import unpacked_rows
from harmon_eval.files.question_files import MAX_REFERENCE, find_image, read_table
from harmon_eval.replies.mmmu_answers import literal_list
from harmon_eval.store.digests import sha256_of
from harmon_eval.tasks.vqa.columns import Columns, numbered, say, understood
from harmon_eval.tasks.vqa.markers import placed

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_ID = 150
BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
LABELLED = re.compile(r"\s*\(?([A-Za-z])[.):]\s*(.*\S)\s*", re.DOTALL)
NOTHING = ("", "nan")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """``answers`` are letters where there are ``options``; any of them is right."""

    id: str
    text: str
    answers: list[str]
    options: dict[str, str] = field(default_factory=dict)
    images: tuple[Path, ...] = ()
    group: str = ""
    hint: str = ""


def read_questions(file: Path) -> Iterator[Question]:
    """Raises UserError."""
    rows = [{str(name): value for name, value in row.items()} for row in read_table(file)]
    if not rows:
        raise UserError(f"{file} holds no questions")
    columns = understood(file, rows)
    cells = _cells(file, rows, columns)
    if not any(cells):
        say(f"{file}: no row has a picture, so all questions are asked without one")
    stored = {
        str(number): [cell for cell in own if isinstance(cell, bytes)]
        for number, own in enumerate(cells)
    }
    encoded = [(name, found) for name, found in stored.items() if found]
    images = unpacked_rows(file, encoded, "vqa-") if encoded else {}
    for number, (row, own) in enumerate(zip(rows, cells, strict=True)):
        where = f"{file}, row {number + 1}"
        kept = iter(images.get(str(number), ()))
        files = [next(kept) if isinstance(c, bytes) else _found(c, file, where) for c in own]
        names = [f.name if isinstance(c, bytes) else c for c, f in zip(own, files, strict=True)]
        options = _options(row, columns, where)
        own_group = row.get(columns.group)
        group = "+".join(names) or str(number) if _is_empty(own_group) else str(own_group)
        hint = "\n".join(_text(row, h, where) for h in columns.hints if not _is_empty(row.get(h)))
        texts = [hint, _text(row, columns.question, where), *options.values()]
        (hint, text, *shown), images_in_order = placed(texts, files, where)
        yield Question(
            id=_id(row.get(columns.id), number),
            text=text,
            answers=_answers(row.get(columns.answer), columns.answer, options, where),
            options=dict(zip(options, shown, strict=True)),
            images=tuple(images_in_order),
            group=group,
            hint=hint,
        )


def _text(row: Row, name: str, where: str) -> str:
    value = row.get(name)
    if _is_empty(value):
        raise UserError(f"{where}: the field {name!r} is missing")
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise UserError(f"{where}: the field {name!r} is no text: {str(value)[:60]!r}")
    return str(value)


def _id(value: Any, number: int) -> str:
    """A plain name of limited length."""
    name = "" if _is_empty(value) else str(value)
    plain = re.sub(r"[^\w.+=@()-]+", "-", name).strip(".-") or f"{number:06d}"
    if len(plain.encode()) <= MAX_ID:
        return plain
    return f"{plain[:32]}-{sha256_of(name)[:16]}"


def _is_empty(value: Any) -> bool:
    """None, not a number, or an empty cell."""
    if isinstance(value, str):
        return value.strip().lower() in NOTHING
    return value is None or (isinstance(value, float) and value != value)


# -- pictures ------------------------------------------------------------------------------------


def _cells(file: Path, rows: list[dict[str, Any]], columns: Columns) -> list[list[str | bytes]]:
    """The pictures of each row: names, or their encoded bytes."""
    found = []
    for number, row in enumerate(rows, start=1):
        where = f"{file}, row {number}"
        own = [list(_pictures(row.get(name), where)) for name in columns.images]
        every = [cell for cells in own for cell in cells]
        found.append(every if numbered(columns) else next(filter(None, own), []))
    known = {
        str(row[name]): own[0]
        for name in reversed(columns.references)
        for row, own in zip(rows, found, strict=True)
        if not _is_empty(row.get(name)) and own and isinstance(own[0], bytes)
    }
    if not known:
        return found
    return [[known.get(c, c) if isinstance(c, str) else c for c in own] for own in found]


def _pictures(value: Any, where: str) -> Iterator[str | bytes]:
    if _is_empty(value):
        return
    if isinstance(value, list | tuple):
        for item in value:
            yield from _pictures(item, where)
    elif isinstance(value, Mapping):
        inside = value.get("bytes") or value.get("path")
        if not isinstance(inside, str | bytes):
            raise UserError(f"{where}: no image in it: give its bytes, or the name of a file")
        yield inside
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, str) and re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
        yield from _pictures(literal_list(value, where), where)
    else:
        yield _picture(str(value).strip(), where)


def _picture(text: str, where: str) -> str | bytes:
    """The name of a file, or what base64 holds. Raises UserError for the address of one."""
    if re.match(r"(?:https?|s3|gs|ftp)://", text):
        raise UserError(f"{where}: {text[:80]!r} is an address: save the picture beside the file")
    data_url = re.match(r"data:[\w/+.-]*;base64,", text)
    body = text[data_url.end() :] if data_url else text
    if data_url or (len(body) > MAX_REFERENCE and BASE64.fullmatch(body)):
        try:
            return base64.b64decode(re.sub(r"\s+", "", body), validate=True)
        except binascii.Error as error:
            if data_url or len(body) > 255:
                raise UserError(f"{where}: the image is no base64 ({error})") from None
    return text.removeprefix("file://")


def _found(name: str, file: Path, where: str) -> Path:
    try:
        return find_image(name, [file.parent])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


# -- options -------------------------------------------------------------------------------------


def _options(row: Row, columns: Columns, where: str) -> dict[str, str]:
    """Letter -> text; empty for an open question. Raises UserError."""
    value = row.get(columns.options) if columns.options else None
    texts = [] if _is_empty(value) else _listed(value, columns.options, where)
    lettered = [row.get(name) for name in columns.letters.values()]
    while lettered and _is_empty(lettered[-1]):
        lettered.pop()
    if texts and lettered:
        raise UserError(f"{where}: options are in {columns.options!r} and in columns: keep one")
    texts = texts or lettered
    if any(_is_empty(text) for text in texts):
        empty = next(i for i, text in enumerate(texts) if _is_empty(text))
        raise UserError(f"{where}: option {empty + 1} of {len(texts)} is empty: fill or remove it")
    if any(isinstance(text, list | tuple | dict | bytes) for text in texts):
        raise UserError(f"{where}: an option is no text: give a list of texts")
    if len(texts) == 1:
        raise UserError(f"{where}: there is one option, {str(texts[0])[:60]!r}: give a list of all")
    if len(texts) > len(LETTERS):
        raise UserError(f"{where}: {len(texts)} options are more than there are letters: give 26")
    return dict(zip(LETTERS, _without_labels([str(text) for text in texts]), strict=False))


def _listed(value: Any, name: str, where: str) -> list[Any]:
    """The options of a cell: a list, an object, one of them written as text, or a text that is
    split at | or at line breaks."""
    if isinstance(value, str):
        value = _parsed(value, name, where)
    if isinstance(value, Mapping):
        return _of_object(value, where)
    if isinstance(value, list | tuple):
        return list(value)
    raise UserError(f"{where}: {name} is {str(value)[:60]!r}: give a list")


def _parsed(text: str, name: str, where: str) -> Any:
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] in ("[]", "{}"):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(stripped)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
        raise UserError(f"{where}: {name} begins like a list and is none: {stripped[:60]!r}")
    for separator in ("\n", "|"):
        if separator in stripped:
            return [part.strip() for part in stripped.split(separator) if part.strip()]
    raise UserError(
        f"{where}: {name} is one text, {stripped[:60]!r}: give a list, such as "
        '["cat", "dog"] or cat|dog'
    )


def _of_object(value: Mapping[Any, Any], where: str) -> list[Any]:
    """``{"A": text}``, or ``{"label": [...], "text": [...]}``."""
    if {*value} == {"label", "text"} and all(isinstance(v, list) for v in value.values()):
        value = dict(zip(map(str, value["label"]), value["text"], strict=False))
    named = {str(letter).strip().upper(): text for letter, text in value.items()}
    texts = [named[letter] for letter in LETTERS if letter in named]
    if len(texts) != len(value):
        raise UserError(f"{where}: keys of the options do not go A, B, C ...: {str(value)[:60]}")
    while texts and _is_empty(texts[-1]):  # a table of objects fills up with these
        texts.pop()
    if list(LETTERS[: len(texts)]) != sorted(named)[: len(texts)]:
        raise UserError(f"{where}: keys of the options do not go A, B, C ...: {str(value)[:60]}")
    return texts


def _without_labels(texts: list[str]) -> list[str]:
    """``A. cat`` as ``cat``, where each option is labelled by its own letter."""
    found = [LABELLED.fullmatch(text) for text in texts]
    labels = "".join(match[1].upper() for match in found if match)
    if texts and labels == LETTERS[: len(texts)]:
        return [match[2] for match in found if match]
    return texts


# -- answers -------------------------------------------------------------------------------------


def _answers(value: Any, name: str, options: Mapping[str, str], where: str) -> list[str]:
    """Accepted texts, or letters. Raises UserError for what is neither."""
    listed = isinstance(value, list | tuple)
    if isinstance(value, str) and re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
        value, listed = literal_list(value, where), True
    found = list(value) if listed else [value]
    if any(isinstance(item, bool) for item in found):
        return _of_boolean(found, options, where)
    if any(isinstance(item, list | tuple | dict | bytes) for item in found):
        raise UserError(f"{where}: {name} holds more than texts: give a text or a list of texts")
    texts = [str(item) for item in found if item is not None and item == item and item != ""]
    if not texts:
        raise UserError(f"{where}: the field {name!r} is empty")
    if options:
        return list(dict.fromkeys(_letter(text.strip(), options, where) for text in texts))
    if not listed and re.fullmatch(r"[A-Za-z]", texts[0].strip()):
        raise UserError(
            f"{where}: the answer {texts[0]!r} is a letter and the row has no options: add them, "
            f'or give ["{texts[0].strip()}"] where the letter is what is to be read'
        )
    return texts


def _of_boolean(found: list[Any], options: Mapping[str, str], where: str) -> list[str]:
    """JSON's true is "true" or "yes"; with options, the one of these."""
    if len(found) != 1:
        raise UserError(f"{where}: the answer {found!r} is a list with true or false: give texts")
    words = ["true", "yes"] if found[0] else ["false", "no"]
    if not options:
        return words
    letters = [name for name, text in options.items() if text.strip().casefold() in words]
    if len(letters) != 1:
        said = str(found[0]).lower()
        raise UserError(f"{where}: the answer {said} is none of the options: give a letter")
    return letters


def _letter(answer: str, options: Mapping[str, str], where: str) -> str:
    by_text = [letter for letter, text in options.items() if text.strip() == answer]
    if len(by_text) == 1:
        return by_text[0]
    if by_text:
        raise UserError(
            f"{where}: the answer {answer[:60]!r} is the text of several options "
            f"({', '.join(by_text)}): give a letter"
        )
    label = re.fullmatch(r"\(?([A-Za-z])[.)]?", answer)
    if label and label[1].upper() in options:
        return label[1].upper()
    if label is None and LABELLED.fullmatch(answer):
        letter, text = answer.strip().lstrip("(")[0].upper(), LABELLED.fullmatch(answer)
        if text and options.get(letter, "").strip() == text[2].strip():
            return letter
    several = re.split(r"\s*(?:,|;|/|\band\b|\s)\s*", answer) if len(answer) > 1 else []
    if re.fullmatch(r"[A-Z]{2,}", answer):
        several = list(answer)
    if len(several) > 1 and all(part.upper() in options for part in several):
        raise UserError(
            f"{where}: the answer {answer[:60]!r} has several letters, and one is asked for: give "
            "a list of letters where any of them is right"
        )
    raise UserError(f"{where}: the answer {answer[:60]!r} is none of the options")
