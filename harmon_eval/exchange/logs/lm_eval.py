"""Logs of lm-evaluation-harness 0.4: ``results_DATE.json`` with ``samples_TASK_DATE.jsonl``.

Choices that were scored by likelihood are read as the reply that the most likely one is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.exchange.logs.log import (
    LETTERS,
    Log,
    LoggedSample,
    LoggedTask,
    lettered,
    number,
    numbers,
    objects,
    parsed,
    plain,
    scalars,
    text_of,
)

RESULTS = re.compile(r"results_(\d{4}-\d\d-\d\dT[\d.+-]+)\.json")
SAMPLES = re.compile(r"samples_(.+)_(\d{4}-\d\d-\d\dT[\d.+-]+)\.jsonl")
NEEDED = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps"}
NONE = "none"
INVALID = "[invalid]"


def read(place: Path) -> Log | None:
    """None for what is no such log. Raises UserError for one of another version."""
    if not (match := RESULTS.fullmatch(place.name)):
        return None
    results = parsed(text_of(place), place)
    if not isinstance(results, dict) or not {"results", "versions", "configs"} <= results.keys():
        raise UserError(f"{place} is not a result of lm-eval 0.4: it lacks results or versions")
    tasks = []
    files = [place]
    for file in sorted(place.parent.glob("samples_*.jsonl")):
        named = SAMPLES.fullmatch(file.name)
        if named and named[2] == match[1]:
            tasks.append(_task(named[1], file, results))
            files.append(file)
    if not tasks:
        raise UserError(f"{place} has no samples beside it: run lm_eval with --log_samples")
    config = results.get("config")
    config = config if isinstance(config, dict) else {}
    settings = {**scalars(config.get("model_args")), **scalars(config.get("gen_kwargs"))}
    return Log(
        tool="lm-eval",
        version=plain(results.get("lm_eval_version"))[:40],
        model=plain(results.get("model_name") or config.get("model"))[:200],
        fingerprint=plain(config.get("model_sha"))[:80],
        settings=settings,
        tasks=tasks,
        files=files,
    )


def _task(name: str, file: Path, results: Mapping[str, Any]) -> LoggedTask:
    samples: dict[str, LoggedSample] = {}
    for line, row in enumerate(objects(file), start=1):
        if lacking := NEEDED - row.keys():
            raise UserError(f"{file}, line {line} has no {min(lacking)!r}: not lm-eval 0.4's")
        one = _sample(row)
        known = samples.setdefault(one.id, one)
        if known is not one:  # the same document by another filter
            known.marks |= one.marks
    own = results["results"].get(name)
    better = (results.get("higher_is_better") or {}).get(name)
    better = better if isinstance(better, dict) else {}
    return LoggedTask(
        name, list(samples.values()), stated(own), {m for m, up in better.items() if up is False}
    )


def stated(metrics: object) -> dict[str, float]:
    """``METRIC,FILTER`` -> value, without errors; the filter ``none`` is left out of names."""
    if not isinstance(metrics, dict):
        return {}
    kept = {k: v for k, v in metrics.items() if "," in k and "_stderr" not in k}
    return {named(*k.split(",", 1)): v for k, v in numbers(kept).items()}


def named(metric: str, by: str) -> str:
    return metric if by == NONE else f"{metric},{by}"


def _sample(row: Mapping[str, Any]) -> LoggedSample:
    doc = row["doc"] if isinstance(row["doc"], dict) else {}
    arguments = _arguments(row["arguments"])
    metrics = row.get("metrics")
    names = metrics if isinstance(metrics, list) else [k for k in row if k not in NEEDED]
    by = str(row.get("filter") or NONE)
    values = {str(n): number(row.get(n)) for n in names if isinstance(n, str)}
    marks = {named(n, by): v for n, v in values.items() if v is not None and n != "doc_id"}
    sample = LoggedSample(
        id=plain(row["doc_id"]),
        question=plain(doc.get("question") or (arguments[0][0] if arguments else "")),
        answers=[],
        reply=None,
        options=lettered(doc.get("choices") or doc.get("options")),
        marks=marks,
        keys={plain(doc[k]) for k in ("id", "question_id", "index") if doc.get(k) is not None},
        error=plain(doc.get("unscored")) if isinstance(doc.get("unscored"), str) else "",
        images=[str(name)[:500] for name in doc.get("images") or [] if isinstance(name, str)],
        group=plain(doc.get("group")) if isinstance(doc.get("group"), str) else "",
    )
    scores = _likelihoods(row["resps"])
    if scores and len(scores) == len(arguments):
        _choose(sample, arguments, scores, row["target"])
    else:
        sample.reply = None if sample.error else _first(row["resps"])
        read = _first(row["filtered_resps"])
        sample.read = None if read == INVALID else read
        sample.answers = [plain(row["target"])]
    return sample


def _arguments(value: object) -> list[tuple[str, str]]:
    """(context, continuation) of each request."""
    found = []
    requests = list(value.values()) if isinstance(value, dict) else value
    for each in requests if isinstance(requests, list) else ():
        parts = list(each.values()) if isinstance(each, dict) else each
        if isinstance(parts, list) and parts:
            found.append((plain(parts[0]), plain(parts[1]) if len(parts) > 1 else ""))
    return found


def _first(value: object) -> str | None:
    """The first text in nested lists."""
    while isinstance(value, list):
        if not value:
            return None
        value = value[0]
    return plain(value) if isinstance(value, str) else None


def _likelihoods(resps: object) -> list[float]:
    """The log-probability of each choice; empty where the model gave texts."""
    found = []
    for each in resps if isinstance(resps, list) else []:
        inner = each[0] if isinstance(each, list) and each else None
        value = inner[0] if isinstance(inner, list) and inner else inner
        try:
            found.append(float(str(value)))  # they are written as texts
        except ValueError:
            return []
    return found if len(found) > 1 else []


def _choose(
    sample: LoggedSample, arguments: list[tuple[str, str]], scores: list[float], target: object
) -> None:
    texts = [text.strip() for _, text in arguments]
    if len(texts) > len(LETTERS):
        return
    best = LETTERS[max(range(len(scores)), key=scores.__getitem__)]
    sample.options = {LETTERS[k]: text for k, text in enumerate(texts)}
    sample.reply = sample.read = best
    right = plain(target)
    if right.isdigit() and int(right) < len(texts):
        sample.answers = [LETTERS[int(right)]]
    elif right.strip() in texts:
        sample.answers = [LETTERS[texts.index(right.strip())]]
