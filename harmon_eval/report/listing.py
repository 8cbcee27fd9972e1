"""Rows of any kind as a table in the terminal. Imports little, so that ``list`` answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from harmon_eval.store.redact import printable


def print_rows(rows: Sequence[dict[str, Any]], title: str, console: Console) -> None:
    """Print any rows of equal keys, in a table; below each other where it would cut words."""
    view = Table(title=title, title_justify="left")
    for column in rows[0] if rows else ():
        kind = isinstance(rows[0][column], int)
        view.add_column(column, justify="right" if kind else "left", overflow="fold")
    for row in rows:
        view.add_row(*(printable(value) for value in row.values()))
    widest = console.options.update(width=10_000)  # a measure is cut to the width that there is
    if Measurement.get(console, widest, view).minimum <= console.width:
        console.print(view)
        return
    console.print(title)
    for row in rows:
        first, *rest = (f"{column}: {printable(value)}" for column, value in row.items())
        console.print(first, highlight=False)
        for line in rest:
            console.print(f"  {line}", highlight=False)
