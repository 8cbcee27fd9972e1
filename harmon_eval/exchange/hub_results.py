"""Headlines for a model's page on the Hugging Face hub: ``.eval_results/harmon_eval.yaml``, which
its leaderboards read, and ``model-index.yaml``, the same for the head of an older model card.

An entry names a benchmark's dataset only for complete results on the benchmark's own data. Any
other (the mini suite, ``--limit``, unscored samples, data that are no dataset of the hub) goes by
``harmon-eval/SUITE``, so that it stands on no benchmark's leaderboard, and its notes say why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.exchange.finished import FinishedRun, FinishedSample, FinishedTask
from harmon_eval.metrics.text import counted, estimate
from harmon_eval.store.durable import write_whole
from harmon_eval.store.redact import redacted

PLACE = Path(".eval_results") / "harmon_eval.yaml"
INDEX = Path("model-index.yaml")
OWN = "harmon-eval"


def write(run: FinishedRun, folder: Path) -> list[Path]:
    """The files that were written, below ``folder``. Raises UserError without any value."""
    import yaml

    found = entries(run)
    if not found:
        raise UserError(f"{run.folder.path} has no headline with a value: nothing to write")
    contents = {PLACE: found, INDEX: {"model-index": model_index(run)}}
    for place, content in contents.items():
        text = yaml.safe_dump(redacted(content), sort_keys=False, allow_unicode=True, width=100)
        write_whole(folder / place, text)
    return [folder / place for place in contents]


def entries(run: FinishedRun) -> list[dict[str, Any]]:
    """One a headline, in the form of hub-docs' ``eval_results.yaml``."""
    date = run.time("finished").strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {
            "dataset": {"id": dataset(run, task), "task_id": task.name},
            "value": value,
            "date": date,
            "notes": notes(run, task),
        }
        for task in run.tasks
        if (value := headline(task)) is not None
    ]


def model_index(run: FinishedRun) -> list[dict[str, Any]]:
    """The headlines as ``model-index`` has them (hub-docs' ``modelcard.md``)."""
    results = [_result(run, task) for task in run.tasks if headline(task) is not None]
    return [{"name": run.model, "results": results}]


def _result(run: FinishedRun, task: FinishedTask) -> dict[str, Any]:
    suite = str(run.identity.get("suite"))
    name = task.stored["headline"]
    return {
        "task": {"type": kind(next(iter(task.samples()), None)), "name": task.name},
        "dataset": {
            "type": dataset(run, task),
            "name": f"{task.name} ({suite} suite)",
            "config": task.name,
        },
        "metrics": [{"type": name, "value": headline(task), "name": f"{name}, {_counted(task)}"}],
    }


def headline(task: FinishedTask) -> float | None:
    return task.metrics.get(task.stored["headline"])


def dataset(run: FinishedRun, task: FinishedTask) -> str:
    """The benchmark's own dataset, or ours where the result is not one on all of its data."""
    suite = str(run.identity.get("suite"))
    source = task.task.sources.get(suite) if task.task else None
    if source is not None and source.hub and suite == "official" and task.complete:
        return source.hub
    return f"{OWN}/{suite}"


def notes(run: FinishedRun, task: FinishedTask) -> str:
    """What the number is: metric, interval, samples, protocol."""
    name = task.stored["headline"]
    parts = [f"{name} {estimate(headline(task), *task.interval(name))}", _counted(task)]
    if unscored := sum(task.stored["unscored"].values()):
        parts.append(f"{unscored:,} unscored")
    suite = run.identity.get("suite")
    parts.append("not the benchmark's own data: mini suite" if suite == "mini" else f"{suite} data")
    parts.append(f"harmon_eval task {task.name}, version {task.version}")
    parts.append(f"seed {run.identity.get('seed')}")
    return "; ".join(parts)


def _counted(task: FinishedTask) -> str:
    """The samples that the headline counts, as in every other table."""
    n, total = task.n(task.stored["headline"]), task.stored["total"]
    if task.complete:
        return f"all {counted(n, 'sample')}{' that it counts' if n != total else ''}"
    return f"{n:,} of {counted(total, 'sample')}"


def kind(sample: FinishedSample | None) -> str:
    """The hub's name for what a task asks."""
    if sample is None or isinstance(sample.response, str):
        return "visual-question-answering"
    if isinstance(sample.response, Path):
        return "image-to-image" if sample.images else "text-to-image"
    return "image-feature-extraction"
