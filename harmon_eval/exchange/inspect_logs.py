"""One log a task as inspect_ai writes them (version 2 of its JSON format), for ``inspect view``.

Pictures are inside, reduced to ``SIDE`` pixels. An unscored sample has the value NaN, which is
inspect_ai's own mark for it, and the reason.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from harmon_eval.exchange.finished import FinishedRun, FinishedSample, FinishedTask
from harmon_eval.exchange.lm_eval import plain_name
from harmon_eval.report.thumbnails import Thumbnails
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.durable import write_whole
from harmon_eval.store.redact import redacted

VERSION = 2
SIDE = 512


def write(run: FinishedRun, folder: Path) -> list[Path]:
    """The files that were written, below ``folder``."""
    files = []
    date = run.time("finished").strftime("%Y-%m-%dT%H-%M-%S+00-00")
    for task in run.tasks:
        log = _log(run, task)
        files.append(folder / f"{date}_{plain_name(task.name)}_{log['eval']['task_id']}.json")
        # NaN is what their reader expects there, although it is no JSON.
        write_whole(files[-1], json.dumps(redacted(log), indent=1, ensure_ascii=False) + "\n")
    return files


def _log(run: FinishedRun, task: FinishedTask) -> dict[str, Any]:
    pictures = Thumbnails(SIDE)
    samples = [_sample(run, task, sample, pictures) for sample in task.samples()]
    started, finished = (run.time(name).isoformat() for name in ("started", "finished"))
    return {
        "version": VERSION,
        "status": "success",
        "eval": _evaluation(run, task, [sample["id"] for sample in samples]),
        "plan": {"name": "plan", "steps": [{"solver": "harmon_eval", "params": {}}], "config": {}},
        "results": _results(task, len(samples)),
        "stats": {"started_at": started, "completed_at": finished, "model_usage": {}},
        "samples": samples,
    }


def _evaluation(run: FinishedRun, task: FinishedTask, ids: list[str]) -> dict[str, Any]:
    about = task.task.about if task.task else None
    provenance = dict(task.stored["provenance"])
    return {
        "eval_id": _id(run, task.name, "eval"),
        "run_id": _id(run, "", "run"),
        "created": run.time("started").isoformat(),
        "task": task.name,
        "task_id": _id(run, task.name, "task"),
        "task_version": task.version,
        "task_display_name": task.name,
        "task_attribs": {},
        "task_args": {},
        "dataset": {
            "name": f"{task.name} ({run.identity.get('suite')})",
            "samples": task.stored["total"],
            "sample_ids": ids,
            "shuffled": False,
        },
        "model": run.model,
        "model_generate_config": {"seed": run.identity.get("seed")},
        "model_args": run.settings,
        "config": {"limit": provenance.get("limit"), "epochs": 1},
        "packages": run.packages,
        "metadata": {
            "harmon_eval": provenance,
            "paper": about.paper if about else "",
            "protocol": about.protocol if about else "",
        },
    }


def _id(run: FinishedRun, name: str, kind: str) -> str:
    """22 letters and digits, as theirs, and the same for the same run."""
    text = json.dumps([run.identity, run.manifest.get("started"), name, kind], sort_keys=True)
    return sha256_of(text)[:22]


def _results(task: FinishedTask, total: int) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for name, value in task.metrics.items():
        low, high = task.interval(name)
        told = {"low": low, "high": high, "interval": "95 %", "n": task.n(name)}
        metrics[name] = {"name": name, "value": value, "params": {}, "metadata": told}
    head = task.stored["headline"]
    if head in metrics and (error := task.standard_error(head)) is not None:
        metrics["stderr"] = {"name": "stderr", "value": error, "params": {}}
    scored, scorer = task.stored["n"], f"harmon_eval/{task.name}"
    return {
        "total_samples": total,
        "completed_samples": scored,
        "scores": [
            {
                "name": task.name,
                "scorer": scorer,
                "scored_samples": scored,
                "unscored_samples": total - scored,
                "params": {},
                "metrics": metrics,
                "metadata": {"mark": task.mark_name},
            }
        ],
        **({"headline": {"scorer": scorer, "metric": head}} if head in metrics else {}),
    }


def _sample(
    run: FinishedRun, task: FinishedTask, sample: FinishedSample, pictures: Thumbnails
) -> dict[str, Any]:
    asked = _message("user", "input", sample.text, sample.images, pictures)
    images = (sample.response,) if isinstance(sample.response, Path) else ()
    reply = sample.response if isinstance(sample.response, str) else ""
    answered = _message("assistant", "generate", reply, images, pictures)
    answered["model"] = run.model
    answers = [] if sample.response is None else [answered]
    return {
        "id": sample.id,
        "epoch": 1,
        "input": [asked],
        "target": sample.target,
        "messages": [asked, *answers],
        "output": {
            "model": run.model,
            "choices": [{"message": answer, "stop_reason": "stop"} for answer in answers],
            "completion": reply,
        },
        "scores": {task.name: _score(task, sample)},
        "metadata": {"group": sample.group, "stratum": sample.stratum, "index": sample.index},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }


def _message(
    role: str, source: str, text: str, images: tuple[Path, ...], pictures: Thumbnails
) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for image in images:
        found = pictures.add(image)
        if found is not None:
            content.append({"type": "image", "image": pictures.uris[found.index]})
    if text or not content:
        content.append({"type": "text", "text": text})
    plain = len(content) == 1 and content[0]["type"] == "text"
    return {"role": role, "source": source, "content": text if plain else content}


def _score(task: FinishedTask, sample: FinishedSample) -> dict[str, Any]:
    """Verdicts as ``C`` and ``I``, other marks as numbers, and no mark as NaN with the reason."""
    parsed = sample.row.get("parsed")
    found: dict[str, Any] = {
        "answer": None if parsed is None else str(parsed),
        "explanation": str(sample.row.get("reason") or sample.row.get("rule") or "") or None,
        "metadata": {k: v for k, v in sample.row.items() if k not in ("id", "response", "group")},
    }
    if sample.mark is None:
        why = sample.unscored or f"{task.name} has no mark of single samples"
        return {**found, "value": math.nan, "reason": why, "explanation": why}
    if task.mark_name == "correct" and sample.mark in (0, 1):
        return {**found, "value": "C" if sample.mark else "I"}
    return {**found, "value": sample.mark}
