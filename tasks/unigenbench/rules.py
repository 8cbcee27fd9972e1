"""UniGenBench's reply parser and totals. Source: CodeGoat24/UniGenBench @ 49d0bce."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harmon_eval.tasks.checklist.rules import Protocol, Step

PROTOCOL = Protocol(
    ask="together",
    reply="list",
    dependency="none",
    total=(Step("points", ("kind",)), Step("below")),
)
LIMIT = 20_000  # characters of a list that are still evaluated


def published_scores(reply: str, points: int) -> list[Any] | None:
    """The first ``<score>`` as the published script reads it, beside an ``<analysis>`` of the same
    length; None where it asks again. Raises TypeError, as the script does, for a score that is no
    list."""
    found = []
    for tag in ("analysis", "score"):
        start = reply.find(f"<{tag}>")
        end = reply.find(f"</{tag}>", start)
        if start < 0 or end < 0 or end - start > LIMIT:
            return None
        try:
            found.append(ast.literal_eval(reply[start + len(tag) + 2 : end].strip()))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    analysis, scores = found
    if len(analysis) != points or len(scores) != points:
        return None
    return list(scores)


def published_totals(
    rows: Sequence[tuple[Sequence[str], Sequence[Any] | None]],
) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """(right, all) of each primary dimension and of each kind, from (kinds, scores) an image.

    Only what equals 1 is right. Images without scores and images with true or false are skipped,
    above and below the line. A primary dimension is the text before the first hyphen, with its
    trailing space."""
    primary: dict[str, tuple[int, int]] = {}
    sub: dict[str, tuple[int, int]] = {}
    for kinds, scores in rows:
        if scores is None or any(isinstance(score, bool) for score in scores):
            continue
        for kind, score in zip(kinds, scores, strict=False):
            for table, name in ((primary, re.split("-", kind, maxsplit=1)[0]), (sub, kind)):
                right, total = table.get(name, (0, 0))
                table[name] = right + (not isinstance(score, str) and score == 1), total + 1
    return primary, sub


def share(counts: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    return {name: right / total for name, (right, total) in counts.items()}
