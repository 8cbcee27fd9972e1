"""A reader says what text an image shows: the instrument of the role ``reader``.

A reader's name is part of the metric's name, since another reader finds other text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harmon_eval.core import Unscorable, UserError

if TYPE_CHECKING:
    import pandas as pd


class Reader(Protocol):
    """``identity`` says which weights and which code read."""

    name: str
    identity: str

    def read(self, files: Sequence[Path]) -> list[str | Unscorable]:
        """The text of each image, its lines from top to bottom with line breaks between them; empty
        for an image without text. Unscorable for what is no picture."""


def reader_of(rows: pd.DataFrame) -> str:
    """The one reader of all rows, for a metric's name; rows that are only assumed have none."""
    names = rows["reader"].dropna().unique()
    if len(names) > 1:
        raise UserError(f"these rows are of several readers ({', '.join(names)}): mark them again")
    return str(names[0]) if len(names) else "none"
