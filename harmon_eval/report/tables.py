"""Tables in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harmon_eval.comparing import contrast
from harmon_eval.metrics.text import counted
from harmon_eval.report import headlines
from harmon_eval.running.progress import hints, watched
from harmon_eval.store.redact import printable
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import (
    FIGURES,
    LEGEND,
    bounds,
    figures,
    frame,
    gaps,
    records,
    results_by_task,
    stored_metrics,
)

if TYPE_CHECKING:
    from harmon_eval.running.evaluate import Outcome

BORDER, SHORTEST = 3, 12  # of a column, and the least of a name


def show(run: Path, console: Console, tasks: Sequence[str] = ()) -> None:
    """Print every metric of a run folder, or of these tasks; ``*`` marks the headline of a task."""
    stored = stored_metrics(run)
    table = frame([result for result in stored if not tasks or result["task"] in tasks])
    if table.empty:
        console.print("nothing has been scored in this run yet")
        return
    floors = bool(table["floor"].notna().any() or table["floors"].any())
    seeds = bool(table["seeds_low"].notna().any())
    empty = {"floor": not floors, "other seeds": not seeds}
    figured = [f for f in FIGURES if not empty.get(f)]
    lines = records(table)
    sizes = [max(len(f), *(len(figures(row)[f]) for row in lines)) for f in figured]
    if sum(sizes) + BORDER * (len(sizes) + 2) + 2 * SHORTEST > console.width:
        console.print(printable(run))
        for text in _below_each_other(lines, figured):
            console.print(escape(text), highlight=False, soft_wrap=True)
    else:
        console.print(_side_by_side(printable(run), lines, figured))
    for line in gaps(run):
        console.print(line, soft_wrap=True, highlight=False)
    if seeds:
        console.print(LEGEND, soft_wrap=True, highlight=False)


def _side_by_side(title: str, lines: Sequence[Mapping[str, Any]], figured: Sequence[str]) -> Table:
    """Names are folded where there is no room for them, figures never."""
    view = Table(title=title, title_justify="left")
    for column in ("task", "metric"):
        view.add_column(column, overflow="fold")
    for column in figured:
        left = column in ("95 % interval", "other seeds")
        view.add_column(column, justify="left" if left else "right", no_wrap=True)
    previous = None
    for row in lines:
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
    return view


def _below_each_other(lines: Sequence[Mapping[str, Any]], figured: Sequence[str]) -> list[str]:
    """For a terminal in which the table would cut its figures."""
    found, previous = [], None
    for row in lines:
        if row["task"] != previous:
            found.append(printable(row["task"]))
        previous = row["task"]
        texts = figures(row)
        found.append(f"{'*' if row['headline'] else ' '} {printable(row['metric'])}")
        found.append(f"    {texts['value']} {texts['95 % interval']}".rstrip())
        if texts["other seeds"]:
            found.append(f"    other seeds {texts['other seeds']}")
        named = {name: name.removesuffix(" of N") for name in figured[2:] if name != "other seeds"}
        rest = [f"{short} {texts[name]}" for name, short in named.items() if texts[name]]
        found.append(f"    {', '.join(rest)}")
    return found


def show_outcome(outcome: Outcome, console: Console, all_metrics: bool = False) -> None:
    """Print what a run came to: its headlines or all metrics, what is left to do, and where to look
    next."""
    folder = outcome.folder
    path = printable(folder.path)
    if watched(console):
        console.print()
    if all_metrics:
        show(folder.path, console)
    else:
        headlines.show(folder, console)
    say = headlines.unscored(results_by_task(folder))
    say += [*gaps(folder.path), *bounds(folder.path), *map(printable, contrast.lines(folder.path))]
    if outcome.unmarked:
        say.append(
            f"{', '.join(outcome.unmarked)} {'is' if len(outcome.unmarked) == 1 else 'are'} not "
            f"marked; all responses are stored, and `python -m harmon_eval mark {path}` continues "
            "from them"
        )
    for line in say:
        console.print(line, soft_wrap=not watched(console), highlight=False)
    for line in ["", *_next(folder, outcome, all_metrics)] if hints() else []:
        console.print(line, soft_wrap=True, highlight=False)


def _next(folder: RunFolder, outcome: Outcome, all_metrics: bool) -> list[str]:
    """Where to look next."""
    path = printable(folder.path)
    lines = [f"run folder: {path}"]
    drawn = [name for name in outcome.results if (folder.task(name).path / "images").exists()]
    if drawn:
        lines.append(f"images: {printable(folder.task(drawn[0]).path / 'images')}")
        if len(drawn) > 1:
            lines[-1] += f", and of {counted(len(drawn) - 1, 'more task')}"
    if outcome.results:
        first = printable(shlex.quote(next(iter(outcome.results))))
        if not all_metrics:
            lines.append(f"all metrics: python -m harmon_eval show {path} --tasks {first}")
        lines.append(f"every sample: python -m harmon_eval report {path}")
    return lines
