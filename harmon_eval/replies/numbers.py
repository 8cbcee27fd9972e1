"""Labelled scores in a free reply, as judges write them: ``Consistency: 2``.

Both edges of a number count: 10 is no 1, 1.5 is no 1, "1-2" and "1 or 2" are no score. What stands
around it does not: Markdown, tables, JSON, fences, full-width forms. A score off the scale is none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

# All repetitions are bounded, so that reading takes time in proportion to the reply.
_MARKUP = r"[\s*_\"'`|]{0,12}"
_SCALE = r"(?:[(\[]\d{1,3}[ ]?(?:-|to|/|,)[ ]?\d{1,3}[)\]])?"
_BETWEEN = (
    rf"{_MARKUP}(?:score|rating)?{_MARKUP}{_SCALE}{_MARKUP}"
    rf"(?P<sign>[:=]|\bis\b|\bof\b|->|- )?{_MARKUP}"
    r"(?:\{\s{0,12}\"(?:score|rating|value)\"\s{0,12}:\s{0,12}\"?)?"
    r"(?P<bracket>[(\[<])?"
)
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?", re.ASCII)
# After a number: more of it, a range, a fraction, an alternative, another number.
_GOES_ON = re.compile(
    r"[\w%/^⁄]|[.,-][\w]|[ \t]{1,3}[\d+%]"
    r"|[ \t]{0,3}(?:or|percent|per cent)\b"
    r"|[ \t]{0,3}(?:-|~|to\b|and\b|/|out of\b|of\b)[ \t]{0,3}[\d.+]"
)
_OF_SCALE = re.compile(r"[ \t]{0,3}(?:/|out of|of)[ \t]{0,3}(\d{1,20})(?![\w%/.⁄]\w|\w|,\d)")
_RANGE = re.compile(r"[ \t]{0,3}(?:-|~|to)[ \t]{0,3}(\d{1,20})(?![\w%/.⁄]\w|\w|,\d)")
_CLOSED = re.compile(r"[ ]?[)\]>]")
_ENDS = re.compile(r"[ \t]{0,3}(?:[.,;:)!*_|\"'`\]}\n]|$)")
_ALONE = re.compile(r"[ \t*_|\"'`]{0,6}(?:[,}\n]|$)")
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-") | {ord("～"): "~", ord("〜"): "~"}


def folded(text: str) -> str:
    """Compatible forms made one (NFKC: full-width, ligatures), and all dashes and minus signs."""
    plain = unicodedata.normalize("NFKC", text.translate(_DASHES)).translate(_DASHES)
    # A few characters are whole sentences in their other form: a reply of them stays as it is.
    return plain if len(plain) <= 2 * len(text) + 100 else text


def labelled(
    reply: str, labels: Sequence[str], low: int, high: int, keep: Literal["first", "last"] = "last"
) -> dict[str, int | None]:
    """Label -> whole number from ``low`` to ``high``, of the labels that stand before a number;
    None: that one is no score.

    A label is a word or several, in any case, joined by blanks, ``_`` or ``-``. Of a label that
    stands there often, the first or the last number counts. A restated scale, such as
    ``Consistency: 0-2``, is passed over."""
    text = folded(reply)
    found: dict[str, int | None] = {}
    for label in labels:
        if scores := list(_scores(text, label, low, high)):
            found[label] = scores[0 if keep == "first" else -1]
    return found


def _scores(text: str, label: str, low: int, high: int) -> Iterator[int | None]:
    """What follows each place of the label: a score, or None for a number that is none."""
    words = r"[\s_-]?".join(map(re.escape, label.split()))
    # Not within a word, nor at the end of a longer name: inconsistency, self-consistency.
    place = re.compile(rf"(?<![^\W_])(?<![^\W_][_-]){words}(?![^\W_]){_BETWEEN}", re.IGNORECASE)
    for match in place.finditer(text):
        number = _NUMBER.match(text, match.end())
        if number is not None and _is_given(text, match, number):
            scale = _RANGE.match(text, number.end())
            if not (scale and (number[0], scale[1]) == (str(low), str(high))):
                yield _score(text, number, low, high)


def _is_given(text: str, place: re.Match[str], number: re.Match[str]) -> bool:
    """Whether the number is what the label has, and not the next word of a sentence or a list."""
    if place["bracket"]:
        return _CLOSED.match(text, number.end()) is not None
    if "\n" in place[0]:  # as in "1. Consistency\n2. Realism"
        return _ALONE.match(text, number.end()) is not None
    if place["sign"] in (None, "is", "of"):
        scale = _OF_SCALE.match(text, number.end())
        return _ENDS.match(text, scale.end() if scale else number.end()) is not None
    return True


def _score(text: str, number: re.Match[str], low: int, high: int) -> int | None:
    """The number as a score, if nothing beside it says that it is another one, or none."""
    end = number.end()
    if (of := _OF_SCALE.match(text, end)) and of[1] == str(high):
        end = of.end()
    if _GOES_ON.match(text, end):
        return None
    value = float(number[0])
    return int(value) if value.is_integer() and low <= value <= high else None


def bare(reply: str, low: int, high: int) -> list[int]:
    """The scores that stand alone on their lines."""
    lines = (line.strip(" \t*_`'\"|.") for line in folded(reply).splitlines())
    scores = {str(score): score for score in range(low, high + 1)}
    return [scores[line] for line in lines if line in scores]
