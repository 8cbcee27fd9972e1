"""What a run came to in one line a task, fitted to the width of the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harmon_eval.metrics.text import counted, counted_are, interval, kind_of, number, same_reasons
from harmon_eval.store.redact import plain
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import counts_of, floors_of, results_by_task

NAMES = ("task", "metric")
FIGURES = ("score", "95 % interval", "n of N", "floor")
GAP = 2  # spaces between columns
SHORTEST = 10  # characters of a name that still tell it
REASONS = 5  # of unscored samples that are printed


class Headline(NamedTuple):
    """One line, as text. ``n`` is such as "24 of 1,108"; ``floors`` are by the name of what takes
    no look at the sample, ``floor`` is the best of them."""

    task: str
    metric: str
    score: str
    interval: str
    n: str
    floor: str
    floors: Mapping[str, str]


def headlines(results: Mapping[str, Mapping[str, Any]]) -> list[Headline]:
    """``results``: what ``metrics.json`` holds, by task.

    The floor is the best score that takes no look at the sample: of a constant reply, or of a
    trivial model, whichever is higher."""
    found = []
    for task, result in results.items():
        name = result["headline"]
        low, high = result["intervals"].get(name, (None, None))
        floors = floors_of(result, name)
        value, best = result["metrics"].get(name), max if result["higher_is_better"] else min
        found.append(
            Headline(
                task=plain(task),
                metric=plain(name),
                score=number(value, low, high),
                interval=interval(low, high, value),
                n=scored(result),
                floor=number(best(floors.values()), value, low, high) if floors else "",
                floors={
                    plain(model): number(floor, value, low, high) for model, floor in floors.items()
                },
            )
        )
    return found


def scored(result: Mapping[str, Any]) -> str:
    """How many samples the headline counts, of all samples: "24 of 1,108"."""
    n, _ = counts_of(result, result["headline"])
    return f"{n:,} of {result['total']:,}"


def table(lines: Sequence[Headline], width: int) -> Table:
    """Figures are never cut; names are, and where both do not fit the metric's is left out.

    Where all tasks have the same trivial models, and there is room, each has a column of its own
    instead of one for the best."""
    models = set(map(tuple, (line.floors for line in lines)))
    own = next(iter(models)) if len(models) == 1 else ()
    task, metric = (max(len(name), *(len(getattr(line, name)) for line in lines)) for name in NAMES)
    for figures in ((*FIGURES[:-1], *own), FIGURES) if len(own) > 1 else (FIGURES,):
        columns = [name for name in figures if any(_cell(line, name) for line in lines)]
        sizes = {
            name: max(len(name), *(len(_cell(line, name)) for line in lines)) for name in columns
        }
        room = width - sum(sizes.values()) - GAP * len(columns)
        both = room - GAP
        if both >= min(task, SHORTEST) + min(metric, SHORTEST):
            # What does not fit is cut from the longer name.
            task = min(task, max(both - metric, both // 2))
            names = {"task": task, "metric": min(metric, both - task)}
            break
    else:
        names = {"task": max(min(task, room), SHORTEST)}
    view = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name, size in names.items():
        view.add_column(name, width=size, no_wrap=True, overflow="ellipsis")
    for name in columns:
        side: Literal["left", "right"] = "left" if name == "95 % interval" else "right"
        view.add_column(name, width=sizes[name], no_wrap=True, justify=side)
    for line in lines:
        view.add_row(*(escape(_cell(line, name)) for name in (*names, *columns)))
    return view


def _cell(line: Headline, column: str) -> str:
    if column in line.floors:
        return line.floors[column]
    return str(getattr(line, {"95 % interval": "interval", "n of N": "n"}.get(column, column)))


def show(run: RunFolder, console: Console, tasks: Sequence[str] = ()) -> None:
    """Print the headlines of a run, or of these tasks of it."""
    results = results_by_task(run)
    chosen = {name: results[name] for name in results if not tasks or name in tasks}
    if not chosen:
        console.print("nothing has been scored in this run yet")
        return
    console.print(table(headlines(chosen), console.width))


def unscored(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Reasons of unscored samples over all tasks, the most frequent first."""
    where: dict[str, Counter[str]] = {}
    every: Counter[str] = Counter()
    for task, result in results.items():
        every.update(result["unscored"])
        for reason, count in result["unscored"].items():
            where.setdefault(kind_of(reason), Counter())[task] += count
    if not (total := every.total()):
        return []
    counts = same_reasons(every)
    lines = [f"{counted_are(total, 'sample')} unscored:"]
    for reason, count in list(counts.items())[:REASONS]:
        tasks = ", ".join(f"{task} {n:,}" for task, n in where[kind_of(reason)].most_common())
        lines.append(f"  {count:,} x {plain(reason)[:300]} ({plain(tasks)})")
    if len(counts) > REASONS:
        rest = counted(len(counts) - REASONS, "more reason")
        lines.append(f"  and {rest}, in TASK/metrics.json")
    return lines
