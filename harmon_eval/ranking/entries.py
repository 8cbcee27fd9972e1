"""All numbers of some runs and of the published results in one frame, one row per number.

Numbers share a column only if they have the same ``protocol``. For a run, the protocol is the
suite, task version, data and instruments. For a quoted number, it is the split its source names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval.core import UserError
from harmon_eval.ranking import published
from harmon_eval.settings import did_you_mean
from harmon_eval.store.run_folder import RunFolder, settings_of
from harmon_eval.store.tables import counts_of, stored_metrics

IDENTITY = ("suite", "version", "data", "instruments")
QUOTED_HEADLINES = ("overall", "score", "accuracy", "fid", "fid50k")
COLUMNS = (
    "model",
    "kind",
    "task",
    "metric",
    "protocol",
    "headline",
    "higher_is_better",
    "value",
    "worst",
    "text",
    "low",
    "high",
    "n",
    "total",
    "unscored",
    "sources",
    "weights_public",
    "trained_on_pattern",
    "settings",
    "fingerprint",
    "seed",
    "run",
)


def entries(
    runs: Sequence[Path],
    baselines: str | None = None,
    tasks: Sequence[str] | None = None,
    public_only: bool = False,
) -> pd.DataFrame:
    """All numbers of these runs and of published models, for all tasks or for some.

    Raises UserError for an unknown model, a task that nobody has numbers of, or a path that is not
    a run folder with results."""
    frames = [measured(runs)]
    if baselines:
        frames.append(quoted(baselines, public_only))
    found = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    found = found.astype(dict.fromkeys(("value", "worst", "low", "high"), float))
    if not tasks:
        return found
    if unknown := sorted({*tasks} - {*found["task"]}):
        known = ", ".join(sorted(set(found["task"])))
        raise UserError(f"there are no numbers of task {unknown[0]!r}: there are those of {known}")
    return found[found["task"].isin(tasks)]


def measured(runs: Sequence[Path]) -> pd.DataFrame:
    """Headlines and details of runs. ``n`` is how many samples a metric counts. A partial run has
    no value, only n of its total.

    Raises UserError if a path is not a run folder or has no results."""
    rows: list[dict[str, Any]] = []
    for path in runs:
        run = RunFolder(path)
        model = run.model
        if not (results := stored_metrics(path)):
            raise UserError(f"{path} has no results yet: finish it with the same command")
        for result in results:
            rows += _of_run(str(path), model, result)
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "identity"])
    return _named_apart(frame)


def _of_run(path: str, model: dict[str, Any], result: dict[str, Any]) -> Iterable[dict[str, Any]]:
    provenance, headline = result["provenance"], result["headline"]
    full = result["n"] == result["total"]
    shared = {
        "model": model["name"],
        "kind": "measured",
        "task": result["task"],
        "protocol": f"{provenance['suite']}, v{provenance['version']}",
        "identity": str([provenance[key] for key in IDENTITY]),
        "higher_is_better": result["higher_is_better"],
        "total": result["total"],
        "unscored": sum(result["unscored"].values()),
        "sources": path,
        "weights_public": "",
        "trained_on_pattern": "",
        "settings": ", ".join(f"{k} {v}" for k, v in settings_of(model).items()),
        "fingerprint": model["fingerprint"][:12],
        "seed": provenance["seed"],
        "run": path,
    }
    for metric in [headline, *(m for m in result["intervals"] if m != headline)]:
        low, high = result["intervals"].get(metric, (None, None)) if full else (None, None)
        value = result["metrics"].get(metric) if full else None
        yield {
            **shared,
            "metric": metric,
            "headline": metric == headline,
            "n": counts_of(result, metric)[0],
            "value": value,
            "worst": value,
            "low": low,
            "high": high,
            "text": "",
        }


def _named_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Number the protocols that have the same name but differ in data or instruments."""
    if frame.empty:
        return frame.drop(columns="identity")
    # A run that could not compute its headline does not know the metric's full name.
    for _, own in frame[frame["headline"]].groupby(["task", "identity"]):
        whole = own.sort_values("value", na_position="last")["metric"].iloc[0]
        frame.loc[own.index, "metric"] = whole
    for _, own in frame.groupby(["task", "protocol"]):
        kinds = list(dict.fromkeys(own["identity"]))
        if len(kinds) > 1:
            number = own["identity"].map(kinds.index) + 1
            frame.loc[own.index, "protocol"] = own["protocol"] + ", #" + number.map(str)
    names = frame[["model", "run"]].drop_duplicates()
    twice = set(names.loc[names["model"].duplicated(keep=False), "run"])
    again = frame["run"].isin(twice)
    frame.loc[again, "model"] += " (" + frame.loc[again, "run"] + ")"
    return frame.drop(columns="identity")


def quoted(names: str, public_only: bool = False) -> pd.DataFrame:
    """Published numbers of these models (``A,B`` or ``all``), one row per table cell.

    If sources disagree, the row is a range with all its sources. Raises UserError for an unknown
    model."""
    frame = published.load()
    if public_only:
        frame = frame[frame["weights_public"] == "yes"]
    chosen = chosen_models(names, list(dict.fromkeys(frame["model"])))
    cells: dict[tuple[str, ...], list[dict[Any, Any]]] = {}
    for row in frame[frame["model"].isin(chosen)].to_dict("records"):
        cells.setdefault(tuple(row[name] for name in published.CELL), []).append(row)
    return pd.DataFrame([_quoted(own) for own in cells.values()], columns=list(COLUMNS))


def _quoted(stated: list[dict[Any, Any]]) -> dict[str, Any]:
    """One cell from all the values that sources state for it."""
    first, lower = stated[0], stated[0]["metric"] in published.LOWER_IS_BETTER
    ordered = sorted(stated, key=lambda row: float(row["value"]))
    low, high = ordered[0], ordered[-1]
    differ = low["value"] < high["value"]
    sources = [f"{row['source']} ({row['source_kind']})" for row in stated]
    if differ:
        sources = [f"{row['text']}: {name}" for row, name in zip(stated, sources, strict=True)]
    return {
        "model": first["model"],
        "kind": "quoted",
        "task": first["task"],
        "metric": first["metric"],
        "protocol": f"published, {first['split']}",
        "headline": first["metric"] in QUOTED_HEADLINES,
        "higher_is_better": not lower,
        "value": None if differ else first["value"],
        "worst": (high if lower else low)["value"],
        "text": f"{low['text']}–{high['text']}" if differ else first["text"],
        "sources": "; ".join(sources),
        "weights_public": first["weights_public"],
        "trained_on_pattern": first["trained_on_pattern"],
    }


def chosen_models(names: str, known: Sequence[str]) -> set[str]:
    """``janus-pro-7b`` is one model, ``janus`` is every size of Janus, ``all`` is every model.

    Raises UserError for an unknown name."""
    if names.strip() == "all":
        return set(known)
    found: set[str] = set()
    for name in filter(None, (part.strip() for part in names.split(","))):
        wanted = _plain(name)
        own = {k for k in known if _plain(k) == wanted}
        own = own or {k for k in known if re.fullmatch(re.escape(wanted) + r"-\d.*", _plain(k))}
        if not own:
            raise UserError(f"no published results of {name!r}: {did_you_mean(name, known)}")
        found |= own
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.casefold()).strip("-")
