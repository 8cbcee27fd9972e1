"""Logs of lmms-eval 0.3 to 0.7: ``DATE_results.json`` with ``DATE_samples_TASK.jsonl``.

They hold neither the documents nor the pictures; of drawings they name the files. What identifies
a question stands in the objects that its metrics keep for each sample, such as ``question_id``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.exchange.logs.harness_files import Layout, Written, opened, rows
from harmon_eval.exchange.logs.log import (
    Log,
    LoggedSample,
    LoggedTask,
    lettered,
    number,
    parsed,
    plain,
    scalars,
)

LAYOUT = Layout(
    tool="lmms-eval",
    results=re.compile(r"(?P<date>\d{8}_\d{6})_results\.json"),
    samples=re.compile(r"(?P<date>\d{8}_\d{6})_samples_(?P<task>.+)\.jsonl"),
    has=frozenset({"results", "configs"}),
    sample_has=frozenset({"doc_id", "target", "filtered_resps"}),
    option="lmms_eval with --log_samples",
)
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
    if (written := opened(place, LAYOUT)) is None:
        return None
    config = written.config
    given = config.get("model_args")
    model = _named_model(given) or plain(written.results.get("model_name") or config.get("model"))
    return Log(
        tool="lmms-eval",
        model=model[:200],
        settings={**_settings(given), **scalars(config.get("gen_kwargs"))},
        tasks=[_task(name, file, written) for name, file in written.samples.items()],
        files=[place, *written.samples.values()],
    )


def _settings(given: object) -> dict[str, Any]:
    """``a=1,b=2`` or an object."""
    if isinstance(given, str):
        pairs = (part.partition("=") for part in given.split(",") if "=" in part)
        return scalars({name.strip(): value for name, _, value in pairs})
    return scalars(given)


def _named_model(given: object) -> str:
    settings = _settings(given)
    return next((plain(settings[k]) for k in ("pretrained", "model", "path") if k in settings), "")


def _task(name: str, file: Path, written: Written) -> LoggedTask:
    samples: dict[str, LoggedSample] = {}
    for line, row in rows(file, LAYOUT):
        one = _sample(row)
        if one.id in samples:
            raise UserError(f"{file}, line {line}: document {one.id} is there twice")
        samples[one.id] = one
    return LoggedTask(name, list(samples.values()), written.stated(name), written.lower(name))


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
    reply, drawn = _drawn(_text(row.get("resps", row["filtered_resps"])))
    read, _ = _drawn(_text(row["filtered_resps"]))
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
        read=None if error else read,
        drawn=drawn,
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


def _drawn(reply: str | None) -> tuple[str | None, list[bytes | str] | None]:
    """Text and drawings of a reply; no list of drawings where the model was to write.

    Models that draw give ``{"text": ..., "images": [files]}`` as a text of JSON."""
    if reply is None or not reply.lstrip().startswith("{"):
        return reply, None
    try:
        said = parsed(reply, "a reply")
    except UserError:
        return reply, None
    if not isinstance(said, dict) or said.keys() != {"text", "images"}:
        return reply, None
    images = said["images"] if isinstance(said["images"], list) else []
    text = plain(said["text"])
    return text if text.strip() else None, [name for name in images if isinstance(name, str)]
