"""Logs of lm-evaluation-harness 0.4: ``results_DATE.json`` with ``samples_TASK_DATE.jsonl``.

Choices that were scored by likelihood are read as the reply that the most likely one is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmon_eval.exchange.logs.harness_files import (
    NO_FILTER,
    Layout,
    Written,
    named,
    opened,
    rows,
)
from harmon_eval.exchange.logs.log import (
    LETTERS,
    Log,
    LoggedSample,
    LoggedTask,
    lettered,
    number,
    plain,
    scalars,
)

NEEDED = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps"}
LAYOUT = Layout(
    tool="lm-eval 0.4",
    results=re.compile(r"results_(?P<date>\d{4}-\d\d-\d\dT[\d.+-]+)\.json"),
    samples=re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.+-]+)\.jsonl"),
    has=frozenset({"results", "versions", "configs"}),
    sample_has=frozenset(NEEDED),
    option="lm_eval with --log_samples",
)
INVALID = "[invalid]"


def read(place: Path) -> Log | None:
    """None for what is no such log. Raises UserError for one of another version."""
    if (written := opened(place, LAYOUT)) is None:
        return None
    config = written.config
    return Log(
        tool="lm-eval",
        version=plain(written.results.get("lm_eval_version"))[:40],
        model=plain(written.results.get("model_name") or config.get("model"))[:200],
        fingerprint=plain(config.get("model_sha"))[:80],
        settings={**scalars(config.get("model_args")), **scalars(config.get("gen_kwargs"))},
        tasks=[_task(name, file, written) for name, file in written.samples.items()],
        files=[place, *written.samples.values()],
    )


def _task(name: str, file: Path, written: Written) -> LoggedTask:
    samples: dict[str, LoggedSample] = {}
    for _, row in rows(file, LAYOUT):
        one = _sample(row)
        known = samples.setdefault(one.id, one)
        if known is not one:  # the same document by another filter
            known.marks |= one.marks
    return LoggedTask(name, list(samples.values()), written.stated(name), written.lower(name))


def _sample(row: Mapping[str, Any]) -> LoggedSample:
    doc = row["doc"] if isinstance(row["doc"], dict) else {}
    arguments = _arguments(row["arguments"])
    metrics = row.get("metrics")
    names = metrics if isinstance(metrics, list) else [k for k in row if k not in NEEDED]
    by = str(row.get("filter") or NO_FILTER)
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
