"""SpecV's reply parser and totals, as its scripts have them. Source: SpecV @ 2af3845."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harmon_eval.tasks.checklist.rules import Protocol, Step

PROTOCOL = Protocol(
    ask="together",
    reply="json",
    dependency="none",
    total=(Step("items", ("dimension",)), Step("below")),
)
_TRAILING = re.compile(r",(?=\s{0,100}[\]}])")


def published_parse(reply: str) -> Any:
    """The JSON of a reply: all of it, in a fence, from the first ``[`` to the last ``]``, or from
    the first ``{`` to the last ``}``, commas before a closing bracket removed; None for none."""
    text = reply.strip()
    start = text.find("```")
    end = text.find("```", start + 3)
    fenced = text[start + 3 : end].removeprefix("json").strip() if 0 <= start < end else ""
    pieces = [text, fenced]
    for first, last in ("[]", "{}"):
        start, end = text.find(first), text.rfind(last)
        pieces.append(text[start : end + 1] if 0 <= start < end else "")
    for piece in filter(None, pieces):
        for written in (piece, _TRAILING.sub("", piece)):
            try:
                found = json.loads(written)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, list | dict):
                return found
    return None


def published_score(points: Sequence[Mapping[str, Any]]) -> float:
    """100 x the share of answers that are the expected text, in the same case, to two digits."""
    equal = sum(point["answer"] == point["expected_answer"] for point in points)
    return round(100 * float(equal) / len(points), 2)


def weighted_score(points: Sequence[Mapping[str, Any]]) -> float:
    """The same with each point's ``score`` as its weight, which no script of SpecV reads."""
    right = [p["score"] for p in points if p["answer"] == p["expected_answer"]]
    return float(100 * sum(right) / sum(point["score"] for point in points))
