"""Logs of inspect_ai, version 2: JSON files, and ``.eval`` archives as today's versions write them
(Zstandard inside of ZIP, which Python's own reader does not know)."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.exchange.logs.log import (
    LETTERS,
    MAX_FILE,
    Log,
    LoggedSample,
    LoggedTask,
    lettered,
    number,
    numbers,
    parsed,
    picture,
    plain,
    scalars,
    text_of,
)

VERSION = 2
ZSTANDARD = 93
VERDICTS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}  # inspect_ai's value_to_float


def read(place: Path) -> Log | None:
    """None for what is no such log. Raises UserError for another version or one not finished."""
    if place.suffix == ".eval":
        header, samples = _archive(place)
    elif place.suffix == ".json":
        header = parsed(text_of(place), place)
        if not isinstance(header, dict) or not {"version", "eval", "status"} <= header.keys():
            return None
        samples = header.get("samples") or []
    else:
        return None
    if header.get("version") != VERSION:
        raise UserError(
            f"{place} is version {plain(header.get('version'))[:20]!r} of inspect_ai's log format, "
            f"and {VERSION} is known here: `inspect log convert` makes another"
        )
    about = header.get("eval")
    if not isinstance(about, dict) or not isinstance(samples, list):
        raise UserError(f"{place} is no log of inspect_ai: `eval` or `samples` is missing")
    if not samples:
        raise UserError(f"{place} holds no samples: run `inspect eval` without --no-log-samples")
    task = LoggedTask(
        plain(about.get("task"))[:200],
        [_sample(one, place) for one in samples],
        _stated(header.get("results")),
    )
    settings = {
        **scalars(about.get("model_args")),
        **scalars(about.get("model_generate_config")),
    }
    versions = about.get("packages")
    version = plain(versions.get("inspect_ai")) if isinstance(versions, dict) else ""
    model = plain(about.get("model"))[:200]
    said = _unfinished(header, about, len(samples), place)
    return Log("inspect", model, [task], version, settings=settings, files=[place], said=said)


def _unfinished(
    header: Mapping[str, Any], about: Mapping[str, Any], n: int, place: Path
) -> list[str]:
    """What to say of an evaluation that failed, was cancelled or still runs."""
    if (status := plain(header.get("status"))[:20]) == "success":
        return []
    dataset = about.get("dataset")
    total = number(dataset.get("samples")) if isinstance(dataset, dict) else None
    of = f" of {total:,.0f}" if total else ""
    return [
        f"{place.name}: the evaluation did not finish (status {status}); it has {n:,}{of} samples"
    ]


def _archive(place: Path) -> tuple[dict[str, Any], list[Any]]:
    try:
        with zipfile.ZipFile(place) as archive, place.open("rb") as opened:
            members = {member.filename: member for member in archive.infolist()}
            if "header.json" not in members:
                raise UserError(f"{place} has no header.json: the evaluation did not finish")
            if sum(member.file_size for member in members.values()) > MAX_FILE:
                raise UserError(f"{place} unpacks to more than {MAX_FILE:,} bytes: it is not read")

            def content(name: str) -> Any:
                data = _unpacked(archive, opened, members[name])
                return parsed(data.decode("utf-8"), f"{place}, {name}")

            header = content("header.json")
            names = sorted(n for n in members if n.startswith("samples/") and n.endswith(".json"))
            samples = [content(name) for name in names]
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise UserError(f"{place} is no sound log of inspect_ai ({str(error)[:80]})") from None
    return header if isinstance(header, dict) else {}, samples


def _unpacked(archive: zipfile.ZipFile, opened: Any, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type != ZSTANDARD:
        return archive.read(member)
    import pyarrow as pa

    opened.seek(member.header_offset)
    head = opened.read(30)
    if len(head) < 30:
        raise zipfile.BadZipFile("cut short")
    name, extra = struct.unpack("<HH", head[26:30])
    opened.seek(member.header_offset + 30 + name + extra)
    data = opened.read(member.compress_size)
    try:
        found: bytes = pa.decompress(data, member.file_size, codec="zstd", asbytes=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise zipfile.BadZipFile(str(error)) from None
    return found


def _stated(results: object) -> dict[str, float]:
    found: dict[str, float] = {}
    scores = results.get("scores") if isinstance(results, dict) else None
    scores = scores if isinstance(scores, list) else []
    for score in scores:
        metrics = score.get("metrics") if isinstance(score, dict) else None
        for name, metric in metrics.items() if isinstance(metrics, dict) else ():
            value = number(metric.get("value")) if isinstance(metric, dict) else None
            if value is not None and name not in ("stderr", "std", "var", "bootstrap_stderr"):
                scorer = f"{plain(score.get('name'))}/" if len(scores) > 1 else ""
                found[f"{scorer}{name}"] = value
    return found


def _sample(one: object, place: Path) -> LoggedSample:
    if not isinstance(one, dict) or not {"id", "input", "target"} <= one.keys():
        raise UserError(f"{place}: a sample lacks id, input or target")
    attachments = one.get("attachments")
    texts = attachments if isinstance(attachments, dict) else {}
    question, images = _said(one["input"], texts)
    options = lettered(one.get("choices"))
    output = one.get("output")
    reply = _reply(output, texts) if isinstance(output, dict) else None
    drawn = _drawn(output, texts) if isinstance(output, dict) else []
    scores = one.get("scores")
    scores = scores if isinstance(scores, dict) else {}
    epoch = one.get("epoch")
    name = plain(one["id"])
    metadata = scalars(one.get("metadata"))
    target = one["target"] if isinstance(one["target"], list) else [one["target"]]
    error = one.get("error")
    reason = plain(error.get("message")) if isinstance(error, dict) else ""
    answers = (score.get("answer") for score in scores.values() if isinstance(score, dict))
    return LoggedSample(
        id=name if epoch in (1, None) else f"{name}-epoch{epoch}",
        question=question,
        answers=[plain(text) for text in target],
        reply=None if reason else reply,
        read=None if reason else next((plain(a) for a in answers if isinstance(a, str)), reply),
        images=images,
        options=options if set(map(str, target)) <= set(LETTERS) else {},
        marks=_marks(scores),
        error=reason,
        group=plain(metadata.get("group") or name),
        keys={name, *(plain(metadata[k]) for k in ("question_id", "id") if k in metadata)},
        drawn=drawn or None,
    )


def _marks(scores: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else None
        if isinstance(value, dict):
            found |= {f"{name}/{key}": own for key, own in numbers(value).items()}
            continue
        mark = VERDICTS.get(value) if isinstance(value, str) else number(value)
        if mark is not None:
            found[str(name)] = mark
    return found


def _resolved(text: str, attachments: Mapping[str, Any]) -> str:
    """What a log keeps once for all messages that hold it."""
    if text.startswith("attachment://"):
        kept = attachments.get(text.removeprefix("attachment://"))
        return kept if isinstance(kept, str) else ""
    return text


def _said(value: object, attachments: Mapping[str, Any]) -> tuple[str, list[bytes | str]]:
    """Text and images of the messages of an input; those of the assistant are no question."""
    texts: list[str] = []
    images: list[bytes | str] = []
    for kind, text in _parts(value):
        whole = _resolved(text, attachments)
        if kind == "image":
            images.append(picture(whole))
        else:
            texts.append(whole)
    return plain("\n".join(texts)), images


def _parts(value: object) -> Iterator[tuple[str, str]]:
    messages = value if isinstance(value, list) else [{"content": value}]
    for message in messages:
        if not isinstance(message, dict) or message.get("role") in ("assistant", "tool"):
            continue
        content = message.get("content")
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            kind = str(part.get("type")) if isinstance(part, dict) else ""
            if kind in ("text", "image") and isinstance(text := part.get(kind), str):
                yield kind, text


def _reply(output: Mapping[str, Any], attachments: Mapping[str, Any]) -> str | None:
    text = output.get("completion")
    if isinstance(text, str) and text:
        return plain(_resolved(text, attachments))
    content = _content(output)
    if isinstance(content, list):
        content = "\n".join(
            p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)
        )
    return plain(_resolved(content, attachments)) if isinstance(content, str) and content else None


def _content(output: Mapping[str, Any]) -> object:
    """Of the first choice."""
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message.get("content") if isinstance(message, dict) else None


def _drawn(output: Mapping[str, Any], attachments: Mapping[str, Any]) -> list[bytes | str]:
    content = _content(output)
    parts = [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
    images = [part.get("image") for part in parts if part.get("type") == "image"]
    return [picture(_resolved(image, attachments)) for image in images if isinstance(image, str)]
