"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harmon_eval.comparing import contrast
from harmon_eval.store.redact import printable
from harmon_eval.store.tables import (
    FIGURES,
    LEGEND,
    bounds,
    figures,
    frame,
    records,
    stored_metrics,
)

if TYPE_CHECKING:
    from harmon_eval.running.evaluate import Outcome


def show(run: Path, console: Console) -> None:
    """Print the table of a run folder; ``*`` marks the headline of a task."""
    table = frame(stored_metrics(run))
    if table.empty:
        console.print("nothing has been scored in this run yet")
        return
    view = Table(title=printable(run), title_justify="left")
    floors = bool(table["floor"].notna().any() or table["floors"].any())
    seeds = bool(table["seeds_low"].notna().any())
    empty = {"floor": not floors, "other seeds": not seeds}
    figured = [f for f in FIGURES if not empty.get(f)]
    for column in ("task", "metric", *figured):
        left = column in ("task", "metric", "95 % interval", "other seeds")
        view.add_column(column, justify="left" if left else "right", overflow="fold")
    previous = None
    for row in records(table):
        task = row["task"]
        if previous not in (None, task):
            view.add_section()
        view.add_row(
            printable(task) if task != previous else "",
            f"{'*' if row['headline'] else ' '} {printable(row['metric'])}",
            *(escape(figures(row)[name]) for name in figured),
            style="bold" if row["headline"] else "",
        )
        previous = task
    console.print(view)
    if seeds:
        console.print(LEGEND, soft_wrap=True, highlight=False)


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Print what a run came to: its table, where things are, and what is left to do."""
    folder = outcome.folder
    show(folder.path, console)
    path = printable(folder.path)
    say = [f"run folder: {path}"]
    images = [folder.task(name).path / "images" for name in folder.manifest["tasks"]]
    say += [f"images: {printable(drawn)}" for drawn in images if drawn.exists()]
    say += [*bounds(folder.path), *contrast.lines(folder.path)]
    if outcome.unscored:
        say.append(f"{outcome.unscored} samples are unscored: TASK/metrics.json counts the reasons")
    if outcome.unmarked:
        say.append(
            f"{', '.join(outcome.unmarked)} {'is' if len(outcome.unmarked) == 1 else 'are'} not "
            f"marked; all responses are stored, and `python -m harmon_eval mark {path}` continues "
            "from them"
        )
    for line in say:
        console.print(line, soft_wrap=True, highlight=False)


def print_rows(rows: Sequence[dict[str, Any]], title: str, console: Console) -> None:
    """Print any rows of equal keys."""
    view = Table(title=title, title_justify="left")
    for column in rows[0] if rows else ():
        kind = isinstance(rows[0][column], int)
        view.add_column(column, justify="right" if kind else "left", overflow="fold")
    for row in rows:
        view.add_row(*(printable(value) for value in row.values()))
    console.print(view)
