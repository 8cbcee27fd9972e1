"""Results of a run as tables: for the terminal, CSV and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from harmon_eval.progress import printable
from harmon_eval.store import METRICS, read_json, write_whole

COLUMNS = ("task", "metric", "value", "low", "high", "n", "total", "unscored", "headline")


def stored_metrics(run: Path) -> list[dict[str, Any]]:
    return [read_json(path) for path in sorted(run.glob(f"*/{METRICS}"))]


def frame(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a metric, headline first; value missing where nothing could be scored."""
    rows = []
    for result in results:
        headline = result["headline"]
        names = sorted(result["metrics"], key=lambda name: name != headline)
        for name in names or [headline]:
            low, high = result["intervals"].get(name, (None, None))
            rows.append(
                {
                    "task": result["task"],
                    "metric": name,
                    "value": result["metrics"].get(name),
                    "low": low,
                    "high": high,
                    "n": result["n"],
                    "total": result["total"],
                    "unscored": sum(result["unscored"].values()),
                    "headline": name == headline,
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def number(value: float | None) -> str:
    if value is None or pd.isna(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def interval(low: float | None, high: float | None) -> str:
    return "" if low is None or pd.isna(low) else f"[{number(low)}, {number(high)}]"


def write_tables(run: Path) -> None:
    table = frame(stored_metrics(run))
    write_whole(run / "table.csv", table.to_csv(index=False))
    write_whole(run / "table.md", markdown(table))


def markdown(table: pd.DataFrame) -> str:
    lines = [
        "| task | metric | value | 95 % interval | n of N | unscored |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        name = f"**{row.metric}**" if row.headline else str(row.metric)
        cells = [row.task, name, number(row.value), interval(row.low, row.high),
                 f"{row.n} of {row.total}", row.unscored]  # fmt: skip
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def show(run: Path, console: Console) -> None:
    """Print the table of a run folder."""
    table = frame(stored_metrics(run))
    if table.empty:
        console.print("nothing has been scored in this run yet")
        return
    view = Table(title=printable(run), title_justify="left")
    for column, justify in (("task", "left"), ("metric", "left"), ("value", "right"),
                            ("95 % interval", "left"), ("n of N", "right"),
                            ("unscored", "right")):  # fmt: skip
        view.add_column(column, justify="right" if justify == "right" else "left")
    previous = None
    for row in table.itertuples():
        if previous not in (None, row.task):
            view.add_section()
        view.add_row(
            printable(row.task) if row.task != previous else "",
            printable(row.metric),
            number(row.value),
            interval(row.low, row.high).replace("[", "\\["),
            f"{row.n} of {row.total}",
            f"[red]{row.unscored}[/red]" if row.unscored else "0",
            style="bold" if row.headline else "",
        )
        previous = row.task
    console.print(view)
