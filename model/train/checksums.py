"""Checksums of a checkpoint, so that one that a disk cut off or changed is noticed, not trained on.

They lie beside the files in ``digests.json``, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from harmon_eval.model.tensors import CheckpointError, read_json, torch_values
from harmon_eval.model.train.recipe import TrainingError

DIGESTS = "digests.json"


class Damaged(TrainingError):
    """A checkpoint is not as it was written; the message names the file and what is wrong."""


class _Hashing:
    """A file that is written and hashed at once: what was meant counts, not what a disk gives."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def save_file(state: Mapping[str, Any], path: Path) -> str:
    """Write to a temporary name beside ``path``, flush, rename: a reader never sees half a file.

    Returns the SHA-256 of what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            hashing = _Hashing(file)
            torch.save(dict(state), cast(BinaryIO, hashing))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return hashing.digest.hexdigest()


def write_digests(folder: Path, known: Mapping[str, str]) -> None:
    """The last file of a checkpoint; what is not ``known`` is read and hashed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DIGESTS)
    names = {file.relative_to(folder).as_posix(): file for file in files}
    digests = {name: known.get(name) or _digest(file) for name, file in names.items()}
    values = {
        name: {"bytes": file.stat().st_size, "sha256": digests[name]}
        for name, file in names.items()
    }
    _write_synced(folder / DIGESTS, json.dumps(values, indent=1) + "\n")


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())


def verify(folder: Path) -> None:
    """Raises Damaged for a checkpoint that is not as it was written. One from before there were
    checksums passes."""
    listed = folder / DIGESTS
    if not listed.exists():
        return
    try:
        values = read_json(listed)
        entries = {name: (int(v["bytes"]), str(v["sha256"])) for name, v in values.items()}
    except (CheckpointError, KeyError, TypeError, ValueError):
        raise Damaged(f"{listed} is damaged") from None
    for name, (size, digest) in entries.items():
        file = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise Damaged(f"{listed} is damaged (it names {name})")
        if not file.is_file():
            raise Damaged(f"{file} is missing")
        if file.stat().st_size != size:
            raise Damaged(f"{file} is damaged: {file.stat().st_size:,} of {size:,} bytes are there")
        if _digest(file) != digest:
            raise Damaged(f"{file} is damaged: its bytes changed after it was written")


def read_state(file: Path) -> dict[str, Any]:
    """What ``save_file`` wrote, in memory: a training replaces its own files. Raises Damaged."""
    try:
        state = torch_values(file, mapped=False)
    except CheckpointError as error:
        raise Damaged(str(error).removesuffix(": download it again")) from None
    if not isinstance(state, dict):
        raise Damaged(f"{file} is damaged: it holds a {type(state).__name__}")
    return state


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# -- one file that is written again and again ------------------------------------------------


def replace_file(state: Mapping[str, Any], path: Path) -> None:
    """Write ``path`` and keep the one before as ``before-NAME``. Killed anywhere, one of the two is
    whole and among the digests beside them."""
    before, waiting = path.with_name(f"before-{path.name}"), path.with_name(f"next-{path.name}")
    digests = path.with_name(DIGESTS)
    accepted = [save_file(state, waiting)]
    if path.exists():
        accepted.append(_digest(path))
    temporary = digests.with_suffix(".tmp")
    _write_synced(temporary, json.dumps({"sha256": accepted}) + "\n")
    temporary.replace(digests)
    if path.exists():
        path.replace(before)
    waiting.replace(path)


def read_replaced(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The state at ``path``, or the one before, with a line that says so; None where there is none
    yet. Raises Damaged where neither is whole."""
    before = path.with_name(f"before-{path.name}")
    said = ""
    for file in (path, before):
        if not file.exists():
            continue
        try:
            return read_whole(file), said
        except Damaged as error:
            said = said or f"{error}: goes on from the one before it"
    if said:
        raise Damaged(f"{said.split(': goes on')[0]}: remove it to begin anew")
    return None, ""


def read_whole(path: Path) -> dict[str, Any]:
    """A file of ``replace_file``, or one from before there were digests. Raises Damaged."""
    digests = path.with_name(DIGESTS)
    state = read_state(path)
    if digests.exists():
        try:
            accepted = read_json(digests).get("sha256")
        except CheckpointError:
            raise Damaged(
                f"{digests} is damaged: remove it to take {path.name} unchecked"
            ) from None
        if not isinstance(accepted, list) or _digest(path) not in accepted:
            raise Damaged(f"{path} is damaged: its bytes changed after it was written")
    return state
