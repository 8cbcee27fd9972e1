"""Scores in the replies of VIEScore's judges: ``{"score": [8, 6], "reasoning": "..."}``.

``parse`` is what counts here. ``original`` does what TIGER-AI-Lab/VIEScore's own reader does
(GEdit-Bench and OmniContext share it), so that we can say how often it would have guessed. All of
it takes time in proportion to the reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harmon_eval.replies.numbers import folded

DELIMITER = "||V^=^V||"
LOW, HIGH = 0.0, 10.0


class Unread(Enum):
    """What the original makes of a reply without scores."""

    AGAIN = "asked again"
    GUESS = "a random number"
    RATE_LIMIT = "rate limit"


@dataclass(frozen=True)
class Scores:
    """The numbers of a reply, 0 to 10, and the rule that read them."""

    values: tuple[float, ...]
    rule: str

    @property
    def least(self) -> float:
        return min(self.values)


# -- ours ----------------------------------------------------------------------------------------


def parse(reply: str, low: float = LOW, high: float = HIGH) -> Scores | None:
    """The scores of a reply; None for a reply without any, or with one outside ``low`` to ``high``.

    Reads what the original reads on its first try. It also reads single quotes, bare or capital
    keys, trailing commas, raw quotes and tabs in the reasoning, full-width punctuation, numbers in
    quotes, "8/10", and lists of one to three numbers. Of several objects the last counts."""
    for rule, read in _RULES:
        values = read(reply)
        if values is not None:
            sound = values and all(low <= value <= high for value in values)
            return Scores(tuple(values), rule) if sound else None
    return None


def _as_original(reply: str) -> list[float] | None:
    try:
        found = original(reply)
    except (ValueError, RecursionError):
        return None
    values = found.get("score") if isinstance(found, dict) else None
    if not isinstance(values, list):
        return None
    numbers = [_number(value) for value in values]
    return None if None in numbers else [value for value in numbers if value is not None]


_FRACTION = re.compile(r"([+-]?\d{1,9}(?:\.\d{1,9})?)(?: ?/ ?10)?", re.ASCII)


def _number(value: object) -> float | None:
    """A number, or a text that is one or a fraction of ten; None for anything else."""
    if isinstance(value, str):
        match = _FRACTION.fullmatch(value.strip())
        return float(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


_ITEM = r"[\"']?[+-]?\d{1,9}(?:\.\d{1,9})?(?: ?/ ?10)?[\"']?"
_LIST = rf"\[\s{{0,9}}({_ITEM}(?:\s{{0,9}},\s{{0,9}}{_ITEM}){{0,2}})\s{{0,9}},?\s{{0,9}}\]"
# A key "score" as it begins an object or follows a comma in one.
_KEY = r"\s{0,20}[\"']?scores?[\"']?\s{0,9}:\s{0,9}"
_FIRST, _LATER = (
    re.compile(rf"{before}{_KEY}(?:{_LIST}|({_ITEM})(?=\s{{0,9}}[,}}]))", re.IGNORECASE)
    for before in (r"\{", r",")
)
_BARE_LIST = re.compile(_LIST)
_QUOTES = dict.fromkeys(map(ord, "“”„‟«»"), '"') | dict.fromkeys(map(ord, "‘’‚‛"), "'")


def _loose_object(reply: str) -> list[float] | None:
    """The last object that begins with the key; without one, the only value of the key."""
    text = folded(reply).translate(_QUOTES)
    if first := [_items(match) for match in _FIRST.finditer(text)]:
        return first[-1]
    later = [_items(match) for match in _LATER.finditer(text)] if "{" in text else []
    return later[0] if later and all(own == later[0] for own in later) else None


def _only_list(reply: str) -> list[float] | None:
    """The list in a reply that has just one."""
    text = folded(reply)
    found = [_items(match) for match in _BARE_LIST.finditer(text)]
    return found[0] if len(found) == 1 and text.count("[") == 1 else None


def _only_number(reply: str) -> list[float] | None:
    value = _number(folded(reply).strip(" \t\r\n*_`\"'").removesuffix("."))
    return None if value is None else [value]


def _items(match: re.Match[str]) -> list[float]:
    text = next(group for group in match.groups() if group)
    numbers = (_number(item.strip(" \t\r\n\"'")) for item in text.split(","))
    return [number for number in numbers if number is not None]


_RULES: tuple[tuple[str, Callable[[str], list[float] | None]], ...] = (
    ("original", _as_original),
    ("object", _loose_object),
    ("list", _only_list),
    ("number", _only_number),
)


# -- the original --------------------------------------------------------------------------------


def original(reply: str, last_try: bool = False) -> Any:
    """What the original's reader gives: a JSON value, usually ``{"score": [...]}``, or ``Unread``.

    ``last_try`` is its flag to give up: then a reply without braces becomes a random number, even a
    list that it would have read before. Raises ValueError where the original does."""
    if reply == "rate_limit_exceeded":
        return Unread.RATE_LIMIT
    if reply.count(DELIMITER) == 2:
        text = reply.split(DELIMITER)[1]
    else:
        start, end = reply.find("{"), reply.rfind("}") + 1
        if start == -1 or end == 0:
            return Unread.GUESS if last_try else _without_object(reply)
        text = reply[start:end]
    if not text:
        return Unread.AGAIN
    text = text.strip().replace("\n", "")
    try:
        found = json.loads(text)
        if not isinstance(found["score"], list):
            found["score"] = [found["score"]]
        return found
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    try:
        return json.loads(_repaired(text))
    except (ValueError, RecursionError):
        return Unread.AGAIN


def original_omnicontext(reply: str) -> Any:
    """What OmniContext's copy of the reader gives: a JSON value, or ``Unread.RATE_LIMIT``.

    It knows no lists and no guesses, keeps a single number as it is, and puts a number into a list
    only where it repairs the object. Raises ValueError where the original does."""
    if reply == "rate_limit_exceeded":
        return Unread.RATE_LIMIT
    start, end = reply.find("{"), reply.rfind("}") + 1
    if start == -1 or end == 0:
        number = int(reply)
        if not 0 <= number <= 10:
            raise ValueError(f"{number} is not from 0 to 10")
        return {"score": number}
    text = reply[start:end].strip().replace("\n", "")
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(_repaired(text))


def _without_object(reply: str) -> Any:
    inside = reply[reply.find("[") : reply.rfind("]") + 1] if "[" in reply else ""
    if re.fullmatch(r"\[\d+, ?\d+\]", inside):
        return {"score": json.loads(inside)}
    try:
        number = int(reply)
    except ValueError:
        return Unread.AGAIN
    return {"score": [number]} if 0 <= number <= 10 else Unread.AGAIN


def _repaired(text: str) -> str:
    """Words before colons in quotes, then each key's value in brackets or quotes."""
    return "".join(_formatted(re.sub(r"(?<!\w)(\w++):", r'"\1":', text)))


def _formatted(text: str) -> Iterator[str]:
    place = 0
    ends = re.compile("[,}]")
    while (quote := text.find('"', place)) >= 0:
        closing = text.find('":', quote + 1)
        end = ends.search(text, closing + 2) if closing >= 0 else None
        if end is None:
            break
        value = text[closing + 2 : end.start()].strip()
        if re.fullmatch(r"-?\d+(\.\d+)?", value):
            value = f"[{value}]"
        elif value.lower() not in ("true", "false", "null"):
            value = f'"{value}"'
        yield f"{text[place : closing + 1]}: {value}{end[0]}"
        place = end.end()
    yield text[place:]


def fate(reply: str) -> Unread | None:
    """What the original makes of a call that is always answered so; None for scores.

    ``AGAIN`` means that it would ask for ever."""
    for last_try in (False, True):
        try:
            found = original(reply, last_try)
        except ValueError:
            return Unread.AGAIN
        if not isinstance(found, Unread):
            return None
        if found is Unread.GUESS:
            return found
    return Unread.AGAIN
