"""Results of a run as a table: read from its folder, written as CSV and Markdown."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval.core import UserError
from harmon_eval.metrics.text import interval, number
from harmon_eval.store import schema
from harmon_eval.store.durable import read_json, write_whole
from harmon_eval.store.paths import UnsafePath
from harmon_eval.store.redact import printable
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.schema import flaw
from harmon_eval.store.task_folder import METRICS

COLUMNS = (
    "task",
    "metric",
    "value",
    "low",
    "high",
    "seeds_low",
    "seeds_high",
    "census",
    "floor",
    "floors",
    "groups",
    "n",
    "total",
    "unscored",
    "headline",
)
MOST = 8  # parts named in one line
FIGURES = ("value", "95 % interval", "other seeds", "floor", "groups", "n of N", "unscored")
LEGEND = (
    "Intervals are for prompts like these; under `other seeds`, for these very prompts with other "
    "seeds. `census`: the prompts are all there are, so only the seeds could differ."
)


def stored_metrics(run: Path) -> list[dict[str, Any]]:
    """Raises UserError for a file that is damaged or holds no metrics."""
    found = []
    for path in sorted(run.glob(f"[!.]*/{METRICS}")):  # not what is being thrown away
        try:
            result = read_json(path, run)
            if wrong := flaw(result, schema.METRICS):
                raise UserError(f"{path} is no result of a task ({wrong})")
            found.append(result)
        except UnsafePath:
            raise
        except UserError as error:
            raise UserError(f"{error}; `python -m harmon_eval mark` makes it again") from None
    return found


def results_by_task(run: RunFolder) -> dict[str, dict[str, Any]]:
    """What ``metrics.json`` holds by task, in the order of the run; variants made from marks last.

    Raises UserError for what is no run folder."""
    place = {name: number for number, name in enumerate(run.manifest["tasks"])}
    found = {str(result["task"]): result for result in stored_metrics(run.path)}
    return {name: found[name] for name in sorted(found, key=lambda n: place.get(n, len(place)))}


def frame(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a metric, headline first; value missing where nothing could be scored.

    ``low`` and ``high`` are for prompts like these, ``seeds_low`` and ``seeds_high`` for these very
    prompts with other seeds; ``census``: the prompts are all there are. ``floor``, of a headline
    only, is what one constant reply gets; ``floors`` is what trivial models get in each metric,
    such as "copy_source 0.000". ``n`` and ``groups`` are those that the metric counts, ``unscored``
    how many more it would count if they had a mark (at most); ``total`` is the task's."""
    rows = []
    for result in results:
        headline = result["headline"]
        seeds, census = result.get("seed_intervals") or {}, result.get("census") or []
        more = result.get("unscored_counts") or {}
        every = sum(result["unscored"].values())
        for name in [headline, *(name for name in result["metrics"] if name != headline)]:
            low, high = result["intervals"].get(name, (None, None))
            n, groups = counts_of(result, name)
            rows.append(
                {
                    "task": result["task"],
                    "metric": name,
                    "value": result["metrics"].get(name),
                    "low": low,
                    "high": high,
                    "seeds_low": seeds.get(name, (None, None))[0],
                    "seeds_high": seeds.get(name, (None, None))[1],
                    "census": name in census,
                    "floor": (result.get("floor") or {}).get("score") if name == headline else None,
                    "floors": told_floors((result.get("floors") or {}).get(name) or {}),
                    "groups": groups,
                    "n": n,
                    "total": result["total"],
                    "unscored": more.get(name, every),
                    "headline": name == headline,
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def counts_of(result: Mapping[str, Any], metric: str) -> tuple[int, int | None]:
    """How many samples and groups a metric counts; those of the task where that is not known."""
    n, groups = (result.get("counts") or {}).get(metric) or (result["n"], result.get("groups"))
    return n, groups


def floors_of(result: Mapping[str, Any], metric: str) -> dict[str, float]:
    """What takes no look at the sample gets in a metric, by its name: each trivial model and, of a
    headline, one constant reply."""
    found = dict((result.get("floors") or {}).get(metric) or {})
    if metric == result["headline"] and (floor := result.get("floor")):
        found[f"always {str(floor['reply'])[:20]!r}"] = floor["score"]
    return {name: float(value) for name, value in found.items() if value is not None}


def told_floors(floors: Mapping[str, float | None]) -> str:
    known = {name: value for name, value in floors.items() if value is not None}
    return ", ".join(f"{name} {number(value)}" for name, value in known.items())


def bounds(run: Path) -> list[str]:
    """A line for each score that has unscored samples, or marks known in part only: what it could
    be."""
    lines = []
    for result in stored_metrics(run):
        if result.get("bounds"):
            low, high = map(number, result["bounds"])
            count = sum(result["unscored"].values())
            said = f"{low} if the {count:,} unscored were all wrong, {high} if all were right"
            if not count:
                said = f"from {low} to {high}, as only a part of the probabilities was seen"
            lines.append(printable(f"{result['task']} {result['headline']}: {said}"))
    return lines


def gaps(run: Path) -> list[str]:
    """A line for each task of which whole parts were not asked or not scored."""
    lines = []
    for result in stored_metrics(run):
        if missing := result.get("missing"):
            more = f" and {len(missing) - MOST} more" if len(missing) > MOST else ""
            told = f"{result['task']}: nothing of {', '.join(missing[:MOST])}{more} was scored, so "
            lines.append(printable(f"{told}{result['headline']} is not that of the benchmark"))
    return lines


def defused(text: object) -> object:
    """A text cell for a CSV file, which no spreadsheet takes for a formula (OWASP's rule)."""
    if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + text
    return text


def write_tables(run: Path) -> None:
    table = frame(stored_metrics(run))
    texts = table.assign(**{n: table[n].map(defused) for n in ("task", "metric", "floors")})
    write_whole(run / "table.csv", texts.to_csv(index=False))
    write_whole(run / "table.md", markdown(table))


def cell(value: object) -> str:
    """Any text as a cell of a Markdown table, one line without markup, links or images of its own.

    A backslash is doubled, since one before a pipe would undo the pipe's own."""
    plain = "".join(c if c.isprintable() else " " for c in str(value))
    safe = html.escape(plain, quote=False).replace("\\", "\\\\").replace("](", "]\\(")
    return safe.replace("|", "\\|")


def code(text: str) -> str:
    """Any text as code within a line of Markdown."""
    return f"`{cell(text).replace('`', chr(39))}`"


def markdown(table: pd.DataFrame) -> str:
    lines = [
        f"| {' | '.join(('task', 'metric', *FIGURES))} |",
        "|---" * (2 + len(FIGURES)) + "|",
    ]
    for row in records(table):
        name = f"**{cell(row['metric'])}**" if row["headline"] else cell(row["metric"])
        cells = [cell(row["task"]), name, *map(cell, figures(row).values())]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def figures(row: Mapping[str, Any]) -> dict[str, str]:
    """The texts of FIGURES, in their order; the task's total stands beside its headline only."""
    floor, ends = row["floor"], (row["low"], row["high"])
    texts = (
        number(row["value"], *ends),
        interval(row["low"], row["high"], *ends, row["value"]) + " census" * bool(row["census"]),
        interval(row["seeds_low"], row["seeds_high"], *ends, row["value"]),
        row["floors"] or ("" if pd.isna(floor) else number(floor, *ends, row["value"])),
        "" if pd.isna(row["groups"]) else f"{row['groups']:,.0f}",
        f"{row['n']:,.0f}" + f" of {row['total']:,}" * bool(row["headline"]),
        f"{row['unscored']:,}",
    )
    return dict(zip(FIGURES, texts, strict=True))
