"""Templates for anybody's text: nothing of it becomes markup or turns the page around."""

from __future__ import annotations

import json
import unicodedata

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
    made.filters.update(number=number, figures=figures, json=_json)
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
