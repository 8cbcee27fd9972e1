"""Rows of any kind as a table in the terminal. Imports little, so that ``list`` answers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from harmon_eval.store.redact import all_printable

GAP = 2  # spaces between columns
SHORTEST = 10  # characters of a name that still tell it


def print_fitted(
    rows: Sequence[Mapping[str, str]], title: str, console: Console, optional: Sequence[str] = ()
) -> None:
    """Print rows of equal keys, one line each, whatever the width.

    Of the first column names are cut where they must be. Figures are never cut; columns of
    ``optional`` are left out where there is no room for them, the first of them first."""
    columns = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    sizes = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    name, *figures = columns
    least = min(sizes[name], SHORTEST)
    for extra in (*optional, None):
        room = console.width - sum(sizes[each] + GAP for each in figures)
        if room >= least or extra is None:
            break
        figures = [each for each in figures if each != extra]
    sizes[name] = max(least, min(sizes[name], room))
    view = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    view.add_column(name, width=sizes[name], no_wrap=True, overflow="ellipsis")
    for each in figures:
        view.add_column(each, width=sizes[each], no_wrap=True, justify="right")
    for row in rows:
        view.add_row(*all_printable(row[each] for each in (name, *figures)))
    console.print(title, highlight=False, soft_wrap=True)
    console.print(view)


def print_rows(rows: Sequence[dict[str, Any]], title: str, console: Console) -> None:
    """Print any rows of equal keys, in a table; below each other where it would cut words."""
    printed = [dict(zip(row, all_printable(row.values()), strict=True)) for row in rows]
    view = Table(title=title, title_justify="left")
    for column in rows[0] if rows else ():
        kind = isinstance(rows[0][column], int)
        view.add_column(column, justify="right" if kind else "left", overflow="fold")
    for row in printed:
        view.add_row(*row.values())
    widest = console.options.update(width=10_000)  # a measure is cut to the width that there is
    if Measurement.get(console, widest, view).minimum <= console.width:
        console.print(view)
        return
    console.print(title)
    for row in printed:
        first, *rest = (f"{column}: {value}" for column, value in row.items())
        console.print(first, highlight=False)
        for line in rest:
            console.print(f"  {line}", highlight=False)
