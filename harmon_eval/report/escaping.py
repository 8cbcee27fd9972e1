"""Templates for anybody's text: nothing of it becomes markup or turns the page around."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

import jinja2

from harmon_eval.metrics.text import number
from harmon_eval.report import gather
from harmon_eval.store.tables import figures

SYMBOLS = {
    gather.RIGHT: "✓",
    gather.WRONG: "✗",
    gather.UNSCORED: "?",
    gather.MARKED: "•",
    gather.MISSING: "–",
}
# Directions of writing that a text could turn the page around with.
TURNING = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"}


def environment() -> jinja2.Environment:
    """Of the templates: all text that goes into them is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("harmon_eval.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number, figures=figures, json=_json, readable=readable, sorted_out=sorted_out
    )
    made.globals.update(symbols=SYMBOLS, colors=8)
    return made


def visible(text: str) -> str:
    """Text whose control characters, halves of characters and turns of direction are spelled out.

    Lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"⟨U+{ord(c):04X}⟩"
        if c in TURNING or (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t")
        else c
        for c in text
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def readable(value: str) -> list[tuple[str, str]] | None:
    """JSON as lines of a name and a short text; None for what is no JSON object or list.

    Detections (class -> boxes with scores) are their scores."""
    if value[:1] not in ("{", "["):
        return None
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict):
        return [(str(name), _short(each)) for name, each in content.items()] or [("", "none")]
    flat = all(not isinstance(each, dict | list) for each in content)
    return [("", _short(content))] if flat else None


def _short(value: object) -> str:
    if isinstance(value, list):
        boxes = [each for each in value if isinstance(each, list) and len(each) == 5]
        parts = [box[4] for box in boxes] if boxes and len(boxes) == len(value) else value
        return ", ".join(map(_short, parts)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Facts that are shown at once, at most; and what tells how a mark was made, which few ask for.
MOST = 8
DULL = {"attempts", "judge_as_returned", "rubric", "rubric_kind", "data_file", "place", "metadata"}


def sorted_out(facts: Sequence[tuple[str, str]]) -> tuple[list[Any], list[Any]]:
    """Facts to show at once, and those for who asks: sums, networks, switches and JSON."""
    main: list[tuple[str, str]] = []
    more: list[tuple[str, str]] = []
    for name, value in facts:
        dull = name in DULL or ":" in name or name.endswith(("_rule", "_network", "_size"))
        minor = name not in gather.FIRST and (dull or value[:1] in ("{", "[") or value == "false")
        (more if minor or len(main) == MOST else main).append((name, value))
    return main, more
