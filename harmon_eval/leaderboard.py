"""Several runs in one table: a row a model, a column a task's headline.

Numbers that do not mean the same never share a column: a column is a (task, version, suite, metric,
instruments, data). A partial run is a blank cell that says n of N, and ranks below every full one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from harmon_eval.core import UserError
from harmon_eval.store import METRICS, RunFolder, read_json
from harmon_eval.tables import cell, interval, number

IDENTITY = ("suite", "version", "data", "instruments")


def entries(runs: Iterable[RunFolder]) -> pd.DataFrame:
    """One row a run and task. Raises UserError for what is no run folder or has no results."""
    rows = []
    for run in runs:
        model = run.manifest["identity"]["model"]
        files = sorted(run.path.glob(f"*/{METRICS}"))
        if not files:
            raise UserError(f"{run.path} has no results yet: finish it with the same command")
        rows += [_entry(model, str(run.path), read_json(file)) for file in files]
    return pd.DataFrame(rows)


def _entry(model: dict[str, Any], path: str, result: dict[str, Any]) -> dict[str, Any]:
    provenance, name = result["provenance"], result["headline"]
    unscored = sum(result["unscored"].values())
    full = result["n"] == result["total"]
    low, high = result["intervals"].get(name, (None, None))
    return {
        "model": model["name"],
        "settings": ", ".join(f"{k} {v}" for k, v in model["settings"].items()),
        "fingerprint": model["fingerprint"][:12],
        "seed": provenance["seed"],
        "run": path,
        "task": result["task"],
        "metric": name,
        "identity": str([provenance[key] for key in IDENTITY]),
        "suite": provenance["suite"],
        "version": provenance["version"],
        "higher_is_better": result["higher_is_better"],
        "value": result["metrics"].get(name) if full else None,
        "interval": interval(low, high) if full else "",
        "n": f"{result['n']} of {result['total']}" + (f", {unscored} unscored" if unscored else ""),
    }


def markdown(runs: Iterable[RunFolder]) -> str:
    """The leaderboard of these runs. Raises UserError for what is no run folder."""
    table = entries(runs)
    columns = _columns(table)
    order = _ranked(table, columns[0])
    lines = ["# Leaderboard", "", "Value, 95 % interval, scored samples of all. A run that is "
             "not complete has no value.", ""]  # fmt: skip
    heads = [_head(column, columns) for column in columns]
    lines += _table([["model", *heads, "settings", "weights", "seed"]])
    lines += ["|" + "---|" * (len(heads) + 4)]
    for run in order:
        own = table[table["run"] == run]
        cells = [_cell(own, column) for column in columns]
        first = own.iloc[0]
        ends = [first["settings"], f"`{first['fingerprint']}`", first["seed"]]
        lines += _table([[first["model"], *cells, *ends]])
    return "\n".join(lines) + "\n"


def _columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry of each column. A metric's whole name comes from a run that could compute it."""
    named = table.assign(blank=table["value"].isna()).sort_values(
        ["task", "suite", "identity", "blank"]
    )
    first = named.drop_duplicates(["task", "identity"])
    return [{str(key): value for key, value in row.items()} for row in first.to_dict("records")]


def _ranked(table: pd.DataFrame, first: dict[str, Any]) -> list[str]:
    """Runs by the first column, best first; those without a value there come after, by name."""
    values = table[_same(table, first)].set_index("run")["value"].astype(float)
    runs = table[["run", "model"]].drop_duplicates().sort_values(["model", "run"])
    runs["value"] = runs["run"].map(values)
    ascending = not first["higher_is_better"]
    return list(runs.sort_values("value", ascending=ascending, kind="stable")["run"])


def _same(table: pd.DataFrame, column: dict[str, Any]) -> pd.Series:
    return (table["task"] == column["task"]) & (table["identity"] == column["identity"])


def _head(column: dict[str, Any], columns: list[dict[str, Any]]) -> str:
    arrow = "↑" if column["higher_is_better"] else "↓"
    name = f"{column['task']} {column['metric']} {arrow} ({column['suite']}, v{column['version']}"
    alike = [c for c in columns if all(c[k] == column[k] for k in ("task", "suite", "version"))]
    # Other data or instruments under the same names: told apart by a number.
    return name + (f", #{alike.index(column) + 1})" if len(alike) > 1 else ")")


def _cell(own: pd.DataFrame, column: dict[str, Any]) -> str:
    found = own[_same(own, column)]
    if found.empty:
        return ""
    entry = found.iloc[0]
    value = "" if pd.isna(entry["value"]) else f"**{number(entry['value'])}** {entry['interval']} "
    return f"{value}({entry['n']})"


def _table(rows: list[list[Any]]) -> list[str]:
    return ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
