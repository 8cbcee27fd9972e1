"""From a judge's reply to an answer for each point. What is not in the asked form is no answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from harmon_eval.replies.numbers import folded
from harmon_eval.replies.short_answers import same
from harmon_eval.replies.yes_no import one_word
from harmon_eval.tasks.checklist.files import NO, YES, Point

SHORT = 200  # characters of a reply that is one word or number
_BULLET = re.compile(r"[-*•\s]*(?:\(?\d{1,4}[.):]+)?[\s*]*")
_WORD = re.compile(r"(yes|no)\b", re.IGNORECASE)
_FENCE = re.compile(r"```\w{0,20}\s*")

Right = dict[str, bool]


def word(point: Point) -> Callable[[str], bool | None]:
    """Reads the reply to one point: whether it is the expected answer, None if it is no answer."""

    def parse(reply: str) -> bool | None:
        if point.expect in (YES, NO):
            said = one_word(reply)
            return None if said is None else said == (point.expect == YES)
        text = reply.strip()
        if not 0 < len(text) <= SHORT:
            return None
        return any(same(text, form) for form in (point.expect, *point.forms))

    return parse


def _rights(points: Sequence[Point], said: Sequence[bool]) -> Right | None:
    if len(said) != len(points):
        return None
    return {p.id: s == (p.expect == YES) for p, s in zip(points, said, strict=True)}


def lines(points: Sequence[Point]) -> Callable[[str], Right | None]:
    """One line for each point that begins with yes or no; a number or a bullet may go before."""

    def parse(reply: str) -> Right | None:
        said = []
        for line in filter(str.strip, folded(reply).splitlines()):
            bullet = _BULLET.match(line)
            found = _WORD.match(line, bullet.end() if bullet else 0)
            if not found:
                return None
            said.append(found[1].lower() == YES)
        return _rights(points, said)

    return parse


def listed(points: Sequence[Point]) -> Callable[[str], Right | None]:
    """A list of 0 and 1, the last one between ``<score>`` and ``</score>``, or the whole reply."""

    def parse(reply: str) -> Right | None:
        text = _FENCE.sub("", folded(reply)).strip()
        end = text.rfind("</score>")
        if end >= 0:
            start = text.rfind("<score>", 0, end)
            text = text[start + len("<score>") : end] if start >= 0 else ""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        # True is 1 in Python; here it is a reply in another form.
        if not isinstance(found, list) or any(type(v) is not int or v not in (0, 1) for v in found):
            return None
        return _rights(points, [value == 1 for value in found])

    return parse


def objects(points: Sequence[Point]) -> Callable[[str], Right | None]:
    """JSON: a list of ``{"id": ..., "answer": "Yes"}``, each point exactly once."""

    def parse(reply: str) -> Right | None:
        text = _FENCE.sub("", folded(reply)).strip()
        start, end = text.find("["), text.rfind("]")
        try:
            found = json.loads(text[start : end + 1]) if 0 <= start < end else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            return None
        said = {str(e.get("id")): str(e.get("answer")).strip(" .").lower() for e in found}
        if len(found) != len(points) or said.keys() != {point.id for point in points}:
            return None
        if not set(said.values()) <= {YES, NO}:
            return None
        return {point.id: said[point.id] == point.expect for point in points}

    return parse


TOGETHER = {"lines": lines, "list": listed, "json": objects}
