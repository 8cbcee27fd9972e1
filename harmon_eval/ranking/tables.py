"""From numbers to tables: an overview, then one table for each kind of ability and its details."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from harmon_eval.core import UserError
from harmon_eval.metrics.text import estimate
from harmon_eval.ranking.ranks import Rank, ranks

SECTIONS = {
    "generation": ("geneval", "dpg", "wise", "mjhq", "coco30k", "imagenet256"),
    "understanding": ("pope", "mme", "mmbench", "seed", "gqa", "mmmu"),
    "representation": ("linear_probe", "probe"),
}
COLUMN = ["task", "protocol", "metric"]


@dataclass(frozen=True)
class Cell:
    """``best``: the value of the column that is best, and all that it does not beat."""

    text: str = ""
    best: bool = False
    quoted: bool = False
    sources: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """``details``: all metrics of one task; otherwise headlines only."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    details: bool = False


@dataclass
class Board:
    """All tables, the numbered sources that they cite, and the runs."""

    tables: list[Table] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    runs: list[tuple[str, ...]] = field(default_factory=list)

    def cite(self, text: str) -> tuple[int, ...]:
        numbers = []
        for source in filter(None, text.split("; ")):
            if source not in self.sources:
                self.sources.append(source)
            numbers.append(self.sources.index(source) + 1)
        return tuple(numbers)


def section(task: str) -> str:
    """The ability that a benchmark measures, from its name; ``other`` if the name is unknown."""
    return next(
        (
            name
            for name, own in SECTIONS.items()
            if any(task == t or task.startswith(t + "_") for t in own)
        ),
        "other",
    )


def board(entries: pd.DataFrame, sort: str | None) -> Board:
    """Build all tables. Raises UserError if there are no entries or no column named ``sort``."""
    if entries.empty:
        raise UserError("there is nothing to show: give run folders, --baselines, or other --tasks")
    made = Board()
    heads = entries[entries["headline"]]
    found = dict.fromkeys(section(task) for task in heads["task"])
    sections = [name for name in (*SECTIONS, "other") if name in found]
    asked = False
    if len(sections) > 1:
        asked |= _add(made, "Overview", heads, sort)
    for name in sections:
        own = entries[entries["task"].map(section) == name]
        asked |= _add(made, name.capitalize(), own[own["headline"]], sort)
        for (task, protocol), part in own.groupby(["task", "protocol"], sort=False):
            if part["metric"].nunique() > 1:
                asked |= _add(made, f"{task} ({protocol})", part, sort, details=True)
    if sort and sort != "model" and not asked:
        raise UserError(f"no column to --sort by is called {sort!r}: give a task, or model")
    runs = entries[entries["kind"] == "measured"].drop_duplicates("run")
    for row in runs.itertuples():
        made.runs.append(
            tuple(map(str, (row.model, row.run, row.settings, row.fingerprint, row.seed)))
        )
    return made


def sorted_entries(entries: pd.DataFrame, sort: str | None) -> pd.DataFrame:
    """Entries in the order of their models, best first. Raises UserError as ``board`` does."""
    board(entries, sort)
    heads = entries[entries["headline"]]
    # Sorting by a detail also works; models without that detail come last.
    keys = list((entries if sort else heads)[COLUMN].drop_duplicates().itertuples(index=False))
    by = next((key for key in keys if _is_called(key, sort)), tuple(heads[COLUMN].iloc[0]))
    column = entries[(entries[COLUMN] == list(by)).all(axis=1)]
    place = {model: n for n, model in enumerate(_order(entries, column, sort == "model"))}
    return entries.sort_values(
        "model", key=lambda models: models.map(place), kind="stable", ignore_index=True
    )


def _is_called(key: Sequence[str], sort: str | None) -> bool:
    """Whether ``sort`` names a column (task, protocol, metric): by task, metric or both."""
    return sort is not None and sort in (key[0], key[2], f"{key[0]} {key[2]}")


def _add(
    made: Board, title: str, entries: pd.DataFrame, sort: str | None, details: bool = False
) -> bool:
    """Add one table. Returns whether it has the column ``sort``."""
    keys = list(entries[COLUMN].drop_duplicates().itertuples(index=False, name=None))
    columns = {key: own for key, own in entries.groupby(COLUMN, sort=False)}
    places = {key: ranks(columns[key]) for key in keys}
    cells_of = {key: {e["model"]: e for e in columns[key].to_dict("records")} for key in keys}
    by = next((key for key in keys if _is_called(key, sort)), None)
    order = _order(entries, columns[by or keys[0]], sort == "model")
    rows = []
    quoted = set(entries.loc[entries["kind"] == "quoted", "model"])
    pattern = set(entries.loc[entries["trained_on_pattern"] == "yes", "model"])
    for model in order:
        cells = [Cell(model + " ‡" * (model in pattern), quoted=model in quoted)]
        for key in keys:
            entry = cells_of[key].get(model)
            cells.append(_cell(made, entry, places[key].get(model)) if entry else Cell())
        rows.append(tuple(cells))
    head = ("model", *_heads(keys, columns, title))
    made.tables.append(Table(title, head, tuple(rows), details))
    return by is not None


def _heads(keys: Sequence[Any], columns: dict[Any, pd.DataFrame], title: str) -> Iterator[str]:
    for key in keys:
        task, protocol, metric = key
        arrow = "↑" if columns[key]["higher_is_better"].iloc[0] else "↓"
        inside = title == f"{task} ({protocol})"
        yield f"{metric} {arrow}" if inside else f"{task} {metric} {arrow} ({protocol})"


def _order(entries: pd.DataFrame, column: pd.DataFrame, by_name: bool) -> list[str]:
    """Models, best first; those without a value come last, by name."""
    models = sorted(dict.fromkeys(entries["model"]))
    if by_name:
        return models
    values = dict(zip(column["model"], column["worst"].astype(float), strict=True))
    sign = -1.0 if column["higher_is_better"].iloc[0] else 1.0
    missing = float("inf")

    def key(model: str) -> float:
        value = float(values.get(model, float("nan")))
        return missing if pd.isna(value) else sign * value

    return sorted(models, key=key)


def _cell(made: Board, entry: dict[Any, Any], rank: Rank | None) -> Cell:
    if entry["kind"] == "quoted":
        return Cell(str(entry["text"]), False, True, made.cite(entry["sources"]))
    counted = f"({entry['n']:,} of {entry['total']:,}"
    counted += f", {entry['unscored']:,} unscored)" if entry["unscored"] else ")"
    if pd.isna(entry["value"]):
        return Cell(counted if entry["headline"] else "")
    place = str(rank) if rank and entry["headline"] else ""
    told = estimate(entry["value"], entry["low"], entry["high"])
    text = " ".join(filter(None, (told, place)))
    return Cell(text, rank is not None and rank.best)
