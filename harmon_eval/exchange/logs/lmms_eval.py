"""Logs of lmms-eval 0.3 to 0.7: ``DATE_results.json`` with ``DATE_samples_TASK.jsonl``.

They hold neither the documents nor the pictures. What identifies a question stands in the objects
that its metrics keep for each sample, such as ``question_id``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.exchange.logs.lm_eval import stated
from harmon_eval.exchange.logs.log import (
    Log,
    LoggedSample,
    LoggedTask,
    lettered,
    number,
    objects,
    parsed,
    plain,
    scalars,
    text_of,
)

RESULTS = re.compile(r"(\d{8}_\d{6})_results\.json")
SAMPLES = re.compile(r"(\d{8}_\d{6})_samples_(.+)\.jsonl")
NEEDED = {"doc_id", "target", "filtered_resps"}
OTHER = {
    *(
        "doc_id",
        "doc",
        "target",
        "arguments",
        "resps",
        "filtered_resps",
        "doc_hash",
        "token_counts",
    ),
    *("input", "input_media", "sample_id", "unscored", "expected", "score_is", "submission"),
}
KEYS = ("id", "question_id", "index", "data_id", "questionId", "image_id", "sample_id", "key")
MARKS = ("score", "correct", "acc", "accuracy", "hit", "exact_match")
RIGHT = ("answer", "ground_truth", "target", "gt")
READ = ("parsed_pred", "pred_answer", "prediction", "pred")


def read(place: Path) -> Log | None:
    """None for what is no such log. Raises UserError for one of another version."""
    if not (match := RESULTS.fullmatch(place.name)):
        return None
    results = parsed(text_of(place), place)
    if not isinstance(results, dict) or not {"results", "configs"} <= results.keys():
        raise UserError(f"{place} is not a result of lmms-eval: it lacks results or configs")
    tasks = []
    files = [place]
    for file in sorted(place.parent.glob("*_samples_*.jsonl")):
        named = SAMPLES.fullmatch(file.name)
        if named and named[1] == match[1]:
            tasks.append(_task(named[2], file, results))
            files.append(file)
    if not tasks:
        raise UserError(f"{place} has no samples beside it: run lmms_eval with --log_samples")
    config = results.get("config")
    config = config if isinstance(config, dict) else {}
    given = config.get("model_args")
    model = _named_model(given) or plain(results.get("model_name") or config.get("model"))
    settings = {**_settings(given), **scalars(config.get("gen_kwargs"))}
    return Log("lmms-eval", model[:200], tasks, settings=settings, files=files)


def _settings(given: object) -> dict[str, Any]:
    """``a=1,b=2`` or an object."""
    if isinstance(given, str):
        pairs = (part.partition("=") for part in given.split(",") if "=" in part)
        return scalars({name.strip(): value for name, _, value in pairs})
    return scalars(given)


def _named_model(given: object) -> str:
    settings = _settings(given)
    return next((plain(settings[k]) for k in ("pretrained", "model", "path") if k in settings), "")


def _task(name: str, file: Path, results: Mapping[str, Any]) -> LoggedTask:
    samples: dict[str, LoggedSample] = {}
    for line, row in enumerate(objects(file), start=1):
        if lacking := NEEDED - row.keys():
            raise UserError(f"{file}, line {line} has no {min(lacking)!r}: not lmms-eval's")
        one = _sample(row)
        if one.id in samples:
            raise UserError(f"{file}, line {line}: document {one.id} is there twice")
        samples[one.id] = one
    better = (results.get("higher_is_better") or {}).get(name)
    better = better if isinstance(better, dict) else {}
    lower = {m for m, up in better.items() if up is False}
    return LoggedTask(name, list(samples.values()), stated(results["results"].get(name)), lower)


def _sample(row: Mapping[str, Any]) -> LoggedSample:
    kept = {k: v for k, v in row.items() if k not in OTHER}
    details = [v for v in kept.values() if isinstance(v, dict)]
    marks: dict[str, float] = {}
    for name, value in kept.items():
        inside = value if isinstance(value, dict) else {}
        own = (number(inside[k]) for k in MARKS if k in inside)
        mark = next((m for m in own if m is not None), None) if inside else number(value)
        if mark is not None:
            marks[str(name)] = mark
    unscored = row.get("unscored")
    error = unscored if isinstance(unscored, str) else ""
    reply = _text(row.get("resps", row["filtered_resps"]))
    options = next((o for d in details if (o := lettered(d.get("options")))), {})
    target = plain(row["target"]) or plain(row.get("expected"))
    right = next((plain(d[k]) for d in details for k in RIGHT if isinstance(d.get(k), str)), target)
    keys = {plain(d[k]) for d in (*details, row) for k in KEYS if d.get(k) is not None}
    media = row.get("input_media")
    return LoggedSample(
        id=plain(row["doc_id"]),
        question=_text(row.get("input")) or "",
        answers=[target or right],
        reply=None if error else reply,
        read=None if error else _text(row["filtered_resps"]),
        images=[str(m)[:500] for m in media if isinstance(m, str)]
        if isinstance(media, list)
        else [],
        options=options,
        marks=marks,
        error=plain(error),
        keys=keys,
    )


def _text(value: object) -> str | None:
    while isinstance(value, list):
        if not value:
            return None
        value = value[0]
    return plain(value) if isinstance(value, str) else None
