"""A reader says what text an image shows: the instrument of the role ``reader``.

A reader's name is part of the metric's name, since another reader finds other text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harmon_eval.core import Answer, Row, Sample, Unscorable, UserError

if TYPE_CHECKING:
    import pandas as pd


class Reader(Protocol):
    """``identity`` says which weights and which code read."""

    name: str
    identity: str

    def read(self, files: Sequence[Path]) -> list[str | Unscorable]:
        """The text of each image, its lines from top to bottom with line breaks between them; empty
        for an image without text. Unscorable for what is no picture."""


def marked(
    answers: Sequence[Answer], reader: Reader, row: Callable[[Sample, str], Row]
) -> list[Row]:
    """A row for each image: the reader, what it ``read``, and what ``row`` makes of that. An image
    that the reader fails on is unscored."""
    texts = reader.read([answer.image for answer in answers])
    return [
        {"unscored": str(text)}
        if isinstance(text, Unscorable)
        else {"reader": reader.name, "read": text, **row(answer.sample, text)}
        for answer, text in zip(answers, texts, strict=True)
    ]


def reader_of(rows: pd.DataFrame) -> str:
    """The one reader of all rows, for a metric's name; rows that are only assumed have none."""
    names = rows["reader"].dropna().unique()
    if len(names) > 1:
        raise UserError(f"these rows are of several readers ({', '.join(names)}): mark them again")
    return str(names[0]) if len(names) else "none"
