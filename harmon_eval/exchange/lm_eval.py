"""Results and samples as lm-evaluation-harness writes them: ``MODEL/results_DATE.json`` and
``MODEL/samples_TASK_DATE.jsonl``.

Followed is ``lm_eval/result_schema.py`` of version 0.4.13. Its keys are ``METRIC,FILTER``, so a
comma in a metric's name becomes a semicolon.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmon_eval.exchange.finished import FinishedRun, FinishedSample, FinishedTask
from harmon_eval.store.durable import write_whole
from harmon_eval.store.redact import redacted

FILTER = "none"


def write(run: FinishedRun, folder: Path) -> list[Path]:
    """The files that were written, below ``folder``."""
    date = run.time("finished").strftime("%Y-%m-%dT%H-%M-%S.%f")
    place = folder / plain_name(run.model)
    results = place / f"results_{date}.json"
    hashes, files = {}, [results]
    for task in run.tasks:
        lines = [_sample(task, sample, place) for sample in task.samples()]
        together = "".join(f"{s['doc_hash']}{s['prompt_hash']}{s['target_hash']}" for s in lines)
        hashes[task.name] = sha256(together)
        files.append(place / f"samples_{plain_name(task.name)}_{date}.jsonl")
        write_whole(files[-1], json_lines(lines))
    aggregated = results_of(run)
    write_whole(results, json_text({**aggregated, "task_hashes": hashes}))
    return files


def results_of(run: FinishedRun) -> dict[str, Any]:
    """The aggregated results, but for hashes of the samples."""
    every = {task.name: task for task in run.tasks}
    environment = run.manifest.get("environment") or {}
    started, finished = run.time("started"), run.time("finished")
    limits = {name: entry["limit"] for name, entry in run.manifest["tasks"].items()}
    return {
        "results": {name: _metrics(task) for name, task in every.items()},
        "group_subtasks": {name: [] for name in every},
        "configs": {name: _configuration(run, task) for name, task in every.items()},
        "versions": {name: task.version for name, task in every.items()},
        "n-shot": dict.fromkeys(every, 0),
        "higher_is_better": {
            name: {metric_key(m): task.higher_is_better(m) for m in task.metrics}
            for name, task in every.items()
        },
        "n-samples": {
            name: {"original": task.stored["total"], "effective": task.stored["n"]}
            for name, task in every.items()
        },
        "config": {
            "model": run.model,
            "model_args": {k: v for k, v in run.settings.items() if _is_scalar(v)},
            "model_dtype": str(run.settings.get("dtype") or ""),
            "model_sha": str(run.identity["model"]["fingerprint"]),
            "batch_size": str(run.manifest.get("batch_size") or ""),
            "device": run.manifest.get("device"),
            "limit": next((limit for limit in limits.values() if limit), None),
            "gen_kwargs": None,
            "random_seed": run.identity.get("seed"),
        },
        "git_hash": environment.get("commit"),
        "date": started.timestamp(),
        "transformers_version": run.packages.get("transformers", ""),
        "model_source": "harmon_eval",
        "model_name": run.model,
        "model_name_sanitized": plain_name(run.model),
        "system_instruction": None,
        "chat_template": None,
        "total_evaluation_time_seconds": str((finished - started).total_seconds()),
        "harmon_eval": {
            "version": run.packages.get("harmon-eval", ""),
            "tasks": {name: _own(task) for name, task in every.items()},
        },
    }


def _metrics(task: FinishedTask) -> dict[str, Any]:
    found: dict[str, Any] = {"name": task.name, "alias": task.name, "sample_len": task.stored["n"]}
    for name, value in task.metrics.items():
        key = metric_key(name)
        error = task.standard_error(name)
        found[f"{key},{FILTER}"] = value
        found[f"{key}_stderr,{FILTER}"] = "N/A" if error is None else error
    return found


def _own(task: FinishedTask) -> dict[str, Any]:
    """What their format has no place for."""
    wanted = ("headline", "metrics", "intervals", "counts", "n", "total", "unscored", "provenance")
    return {name: task.stored[name] for name in wanted if name in task.stored}


def _configuration(run: FinishedRun, task: FinishedTask) -> dict[str, Any]:
    about = task.task.about if task.task else None
    return {
        "task": task.name,
        "dataset_name": str(run.identity.get("suite") or ""),
        "output_type": "generate_until",
        "num_fewshot": 0,
        "description": about.protocol if about else "",
        "metadata": {"version": task.version, "data": task.stored["provenance"]["data"]},
    }


def _sample(task: FinishedTask, sample: FinishedSample, place: Path) -> dict[str, Any]:
    doc = {
        "id": sample.id,
        "group": sample.group,
        "stratum": sample.stratum,
        "question": sample.text,
        "images": [image.name for image in sample.images],
        "unscored": sample.unscored,
    }
    reply = reply_text(sample, place)
    marks = {} if sample.mark is None else {metric_key(task.mark_name): sample.mark}
    return {
        "doc_id": sample.index,
        "doc": doc,
        "target": sample.target,
        "arguments": {"gen_args_0": {"arg_0": sample.text, "arg_1": {}}},
        "resps": [[reply]],
        "filtered_resps": [str(sample.row.get("parsed") or reply)],
        "filter": FILTER,
        "metrics": list(marks),
        "doc_hash": sha256(json.dumps(doc, sort_keys=True)),
        "prompt_hash": sha256(sample.text),
        "target_hash": sha256(sample.target),
        **marks,
    }


def reply_text(sample: FinishedSample, place: Path) -> str:
    """A reply, or where the image lies as seen from ``place``; empty where there is none."""
    if isinstance(sample.response, Path):
        return Path(os.path.relpath(sample.response, place)).as_posix()
    return sample.response or ""


def metric_key(name: str) -> str:
    return name.replace(",", ";")


def plain_name(name: str) -> str:
    """Their rule for names in paths; names from content lead nowhere else."""
    plain = re.sub(r"[\"<>:/|\\?*\[\]\s\x00-\x1f]+", "__", name).strip(".")
    return plain[:120] or "model"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def json_text(value: Mapping[str, Any]) -> str:
    return json.dumps(redacted(json.loads(json.dumps(value))), indent=2, ensure_ascii=False) + "\n"


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(redacted(row), ensure_ascii=False) + "\n" for row in rows)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)
