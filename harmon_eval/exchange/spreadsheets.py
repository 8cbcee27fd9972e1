"""Results as CSV files: ``results.csv``, a row a metric with its provenance, and
``samples_TASK.csv``, a row a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval.exchange.finished import FinishedRun, FinishedTask
from harmon_eval.exchange.lm_eval import plain_name, reply_text
from harmon_eval.store.durable import write_whole
from harmon_eval.store.redact import redacted
from harmon_eval.store.tables import defused, frame


def write(run: FinishedRun, folder: Path) -> list[Path]:
    """The files that were written, below ``folder``. No cell is a formula for a spreadsheet."""
    files = [folder / "results.csv"]
    write_whole(files[0], _text(_results(run)))
    for task in run.tasks:
        files.append(folder / f"samples_{plain_name(task.name)}.csv")
        write_whole(files[-1], _text(_samples(task, folder)))
    return files


def _results(run: FinishedRun) -> pd.DataFrame:
    table = frame([dict(task.stored) for task in run.tasks])
    provenance = {task.stored["task"]: task.stored["provenance"] for task in run.tasks}
    for name in ("suite", "seed", "version", "data"):
        table[name] = [provenance[task].get(name) for task in table["task"]]
    table.insert(0, "model", run.model)
    table["fingerprint"] = run.identity["model"]["fingerprint"]
    table["settings"] = json.dumps(run.settings, ensure_ascii=False)
    return table


def _samples(task: FinishedTask, folder: Path) -> pd.DataFrame:
    first = ("id", "group", "stratum", "unscored")
    rows: list[dict[str, Any]] = []
    for sample in task.samples():
        own = {k: v for k, v in sample.row.items() if k not in (*first, "response")}
        rows.append(
            {
                "index": sample.index,
                "id": sample.id,
                "group": sample.group,
                "stratum": sample.stratum,
                "asked": sample.text,
                "images": " ".join(image.name for image in sample.images),
                "target": sample.target,
                "answer": reply_text(sample, folder),
                "unscored": sample.unscored,
                "mark": sample.mark,
                **{f"row.{name}": value for name, value in own.items()},
            }
        )
    return pd.DataFrame(rows)


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return defused(redacted(value)) if isinstance(value, str) else value


def _text(table: pd.DataFrame) -> str:
    text: str = table.map(_cell).to_csv(index=False)
    return text
