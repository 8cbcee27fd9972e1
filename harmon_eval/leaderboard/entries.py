"""Every number of some runs and of the published results as one frame, a row a number.

A number's ``protocol`` is all that it must share with others of its column: of a run the suite,
task version, data and instruments, of a quoted number what its source says of the split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval import published
from harmon_eval.core import UserError
from harmon_eval.registry import did_you_mean
from harmon_eval.store import METRICS, RunFolder, read_json

IDENTITY = ("suite", "version", "data", "instruments")
QUOTED_HEADLINES = ("overall", "score", "accuracy", "fid", "fid50k")
COLUMNS = (
    "model", "kind", "task", "metric", "protocol", "headline", "higher_is_better", "value", "worst",
    "text", "low", "high", "n", "total", "unscored", "sources", "weights_public",
    "trained_on_pattern", "settings", "fingerprint", "seed", "run",
)  # fmt: skip


def measured(runs: Sequence[Path]) -> pd.DataFrame:
    """Headlines and details of runs. A partial run has no value, only n of its total.

    Raises UserError for what is no run folder or has no results."""
    rows: list[dict[str, Any]] = []
    for path in runs:
        run = RunFolder(path)
        model = run.manifest["identity"]["model"]
        files = sorted(path.glob(f"*/{METRICS}"))
        if not files:
            raise UserError(f"{path} has no results yet: finish it with the same command")
        for file in files:
            rows += _of_run(str(path), model, read_json(file))
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
        "n": result["n"],
        "total": result["total"],
        "unscored": sum(result["unscored"].values()),
        "sources": path,
        "weights_public": "",
        "trained_on_pattern": "",
        "settings": ", ".join(f"{k} {v}" for k, v in model["settings"].items()),
        "fingerprint": model["fingerprint"][:12],
        "seed": provenance["seed"],
        "run": path,
    }
    for metric in [headline, *(m for m in result["intervals"] if m != headline)]:
        low, high = result["intervals"].get(metric, (None, None)) if full else (None, None)
        value = result["metrics"].get(metric) if full else None
        yield {**shared, "metric": metric, "headline": metric == headline, "value": value,
               "worst": value, "low": low, "high": high, "text": ""}  # fmt: skip


def _named_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Tell apart, by a number, protocols that differ in what their names do not say."""
    if frame.empty:
        return frame.drop(columns="identity")
    # A run that could not compute its headline does not know the metric's whole name.
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
    """Published numbers of these models (``A,B`` or ``all``), one row a cell of their tables.

    Values that disagree stay one range with all sources. Raises UserError for an unknown model."""
    frame = published.load()
    if public_only:
        frame = frame[frame["weights_public"] == "yes"]
    chosen = chosen_models(names, list(dict.fromkeys(frame["model"])))
    rows = []
    for (model, task, metric, split), own in frame.groupby(published.CELL, sort=False):
        if model not in chosen:
            continue
        lower = metric in published.LOWER_IS_BETTER
        ends = own.sort_values("value").drop_duplicates("value")
        rows.append(
            {
                "model": model,
                "kind": "quoted",
                "task": task,
                "metric": metric,
                "protocol": f"published, {split}",
                "headline": metric in QUOTED_HEADLINES,
                "higher_is_better": not lower,
                "value": own["value"].iloc[0] if len(ends) == 1 else None,
                "worst": own["value"].max() if lower else own["value"].min(),
                "text": "–".join(dict.fromkeys(ends["text"].iloc[[0, -1]])),
                "sources": "; ".join(
                    f"{text}: {source} ({kind})" if len(ends) > 1 else f"{source} ({kind})"
                    for text, source, kind in zip(
                        own["text"], own["source"], own["source_kind"], strict=True
                    )
                ),
                "weights_public": own["weights_public"].iloc[0],
                "trained_on_pattern": own["trained_on_pattern"].iloc[0],
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def chosen_models(names: str, known: Sequence[str]) -> set[str]:
    """``janus-pro-7b`` is one model, ``janus`` every size of Janus, ``all`` all of them.

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
