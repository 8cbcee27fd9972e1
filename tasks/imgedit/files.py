"""ImgEdit-Bench's files: single turns, UGE and sessions of several turns; its result folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Answer, Drawn, Remote, Source, UserError
from harmon_eval.files.drawn import inside
from harmon_eval.files.found import pictures
from harmon_eval.files.question_files import read_text
from harmon_eval.store.digests import sha256_of
from harmon_eval.tasks.imgedit.rules import OLD_NAMES, TYPES

if TYPE_CHECKING:
    import pandas as pd

BASIC = ("singleturn/singleturn.json", "Benchmark/singleturn/singleturn.json", "basic_edit.json")
HARD = ("hard/annotation.jsonl", "Benchmark/hard/annotation.jsonl", "UGE_edit.json")
SESSIONS = ("content_memory", "content_understand", "version_backtrace")
TURNS = ("turn1", "turn2", "turn3")
OFFICIAL = Source(
    files=(*BASIC, *HARD, "multiturn/*/annotation.json", "Benchmark/multiturn/*/annotation.json"),
    text="the folders singleturn, hard and multiturn of Benchmark.tar in the dataset "
    "sysuyy/ImgEdit",
    hub="sysuyy/ImgEdit",
    downloads=(
        Remote(
            "https://huggingface.co/datasets/sysuyy/ImgEdit/resolve/main/Benchmark.tar",
            "Benchmark.tar",
            unpack=r"(?:.*/)?((?:singleturn|hard|multiturn)/.+)",
        ),
    ),
)


@dataclass(frozen=True)
class Item:
    """One edit; ``source`` is a file, ``turn`` counts from 1 in a session, and is 0 elsewhere."""

    key: str
    source: Path
    prompt: str
    kind: str
    turn: int = 0


def read_basic(folder: Path) -> tuple[list[Item], str]:
    """The single turns, and the SHA-256 of their file. Raises UserError for a file with a flaw."""
    file = _first(folder, BASIC)
    items = []
    for key, entry in _object(file).items():
        where = f"{file}, entry {key!r}"
        kind = _text(entry, "edit_type", where)
        kind = OLD_NAMES.get(kind, kind)
        if kind not in TYPES:
            raise UserError(f"{where}: unknown edit_type {kind!r}: known are {', '.join(TYPES)}")
        source = _source(file.parent, _text(entry, "id", where), where)
        items.append(Item(str(key), source, _text(entry, "prompt", where), kind))
    return items, sha256_of(file)


def read_hard(folder: Path) -> tuple[list[Item], str]:
    """UGE's edits, as ``read_basic``."""
    file = _first(folder, HARD)
    return [
        Item(key, _source(file.parent, _text(e, "id", w), w), _text(e, "prompt", w), "uge")
        for key, e, w in _entries(file)
    ], sha256_of(file)


def read_sessions(folder: Path) -> tuple[list[Item], str]:
    """The turns of all sessions in order, and a digest of their files."""
    items: list[Item] = []
    digests = []
    for name in SESSIONS:
        files = [folder / top / "multiturn" / name / "annotation.json" for top in ("", "Benchmark")]
        file = next((each for each in files if each.is_file()), None)
        if file is None:
            continue
        digests.append(sha256_of(file))
        for key, entry, where in _entries(file):
            source = _source(file.parent, _text(entry, "id", where), where)
            texts = [entry[turn] for turn in TURNS if entry.get(turn)]
            if not texts:
                raise UserError(f"{where}: it has no turn1")
            items += [Item(f"{name}/{key}", source, t, name, n) for n, t in enumerate(texts, 1)]
    if not items:
        raise UserError(f"{folder} has no multiturn/{SESSIONS[0]}/annotation.json")
    return items, sha256_of(" ".join(digests))


def _first(folder: Path, names: Sequence[str]) -> Path:
    found = next((file for name in names if (file := folder / name).is_file()), None)
    if found is None:
        raise UserError(f"{folder} has no {names[0]}: put it there")
    return found


def _object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file))
    except ValueError as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{file} must hold an object of key -> edit")
    return content


def _entries(file: Path) -> Iterator[tuple[str, Any, str]]:
    """(key, entry, where): of an object by its keys, of lines by their number, or their ``key``."""
    text = read_text(file)
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        if len(lines) == 1 or not lines[0].rstrip().endswith("}"):
            whole = json.loads(text)
            nested = all(isinstance(value, dict) for value in whole.values())
            found = whole.items() if nested else [(str(whole.get("key", 1)), whole)]
        else:
            each = [json.loads(line) for line in lines]
            found = [(str(e.get("key", n)), e) for n, e in enumerate(each, 1)]
    except (ValueError, AttributeError) as error:
        raise UserError(f"{file} cannot be read as JSON or lines of it: {error}") from None
    for key, entry in found:
        yield str(key), entry, f"{file}, entry {key!r}"


def _text(entry: Any, name: str, where: str) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}: the field {name!r} is missing")
    return value


def _source(folder: Path, name: str, where: str) -> Path:
    """The source image, beside its list or in the folder ``singleturn`` or ``images`` there."""
    places = [folder / name, folder / "singleturn" / name, folder / "images" / name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(f"{where}: {folder / name} is missing: put the source images beside it")
    return inside(folder, found)


# -- result folders ------------------------------------------------------------------------------


def read_images(folder: Path) -> list[Drawn] | None:
    """``KEY.png`` in one folder; turns as ``KEY_turn2.png`` in folders of their kind."""
    found = [Drawn(file, sample=file.stem) for file in pictures(folder, deep=False)]
    for name in SESSIONS:
        own = pictures(folder / name, deep=False) if (folder / name).is_dir() else []
        for file in own:
            key, _, turn = file.stem.rpartition("_turn")
            found.append(Drawn(file, sample=f"{name}/{key}/turn{turn}"))
    return found or None


def published(answers: Sequence[Answer]) -> Mapping[str, Path]:
    """Results where the original's script looks for them."""
    return {f"{place_of(answer.sample.id)}.png": answer.image for answer in answers}


def place_of(sample_id: str) -> str:
    return sample_id.replace("/turn", "_turn")


def result_files(rows: pd.DataFrame) -> dict[str, str]:
    """``result.json``: key -> the judge's reply, for the original's scripts."""
    replies = {place_of(row["id"]): row["reply"] for row in rows.to_dict("records")}
    return {"result.json": json.dumps(replies, indent=4, ensure_ascii=False)}
