"""The run folder. Every file is whole or absent, and what was answered once is never lost.

::

    RUN/manifest.json           what was run: settings, model, suite, versions, times, state
    RUN/.lock                   held by the one process that writes
    RUN/TASK/responses.jsonl    append-only log, one line a response, flushed to disk per batch
                                (older runs: also responses.1.jsonl ... of further processes)
    RUN/TASK/images/ID.png      drawn images
    RUN/TASK/held.json          names of finished images, where these are the samples
    RUN/TASK/vectors.f32        feature vectors, memory-mapped (older runs: vectors.1.f32 ...)
    RUN/TASK/rows.parquet       marks, one row a sample (rows-KEY/ holds parts while marking)
    RUN/TASK/marks.json         what the rows depend on, and their sha256
    RUN/TASK/metrics.json       what the marks come to
    RUN/table.csv, table.md     all tasks in one table

Everything read again has a checksum: images and rows a sha256, JSON files one of their content,
lines of a log a CRC. What does not match is made again, or said where it cannot be.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.store import schema
from harmon_eval.store.digests import sha256_of
from harmon_eval.store.durable import read_json, write_json, write_whole
from harmon_eval.store.lock import LOCK, only_writer
from harmon_eval.store.paths import UnsafePath, read_bytes
from harmon_eval.store.redact import plain, redacted
from harmon_eval.store.schema import flaw
from harmon_eval.store.task_folder import LOG, ROWS, TaskFolder

SERVED = "served"  # begins what a task's data are called where requests brought them (``serve``)
MANIFEST, COPY = "manifest.json", ".manifest-copy.json"
OWN = (LOG, ROWS, "images", "vectors.f32")  # what shows a task's folder
IMPORTED = "imported"  # the questions of another tool's log, and their pictures
MAX_NAME = 160  # bytes of a task's folder; files beside it have its name and a little more


class RunFolder:
    """One model on one suite with one set of settings; any number of tasks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return (self.path / MANIFEST).exists()

    def _near(self) -> str:
        """Where the run is, if the folder of one of its tasks was given, or one that holds runs."""
        if (self.path.parent / MANIFEST).exists():
            return f"; it is in the run folder {self.path.parent}"
        inside = sorted(str(file.parent) for file in self.path.glob(f"*/{MANIFEST}"))
        rest = f" and {len(inside) - 1:,} more" if len(inside) > 1 else ""
        return f"; inside is the run folder {inside[0]}{rest}" if inside else ""

    @property
    def manifest(self) -> dict[str, Any]:
        """Raises UserError when this is no run folder."""
        if not self.exists:
            raise UserError(f"{self.path} is not a run folder: it has no {MANIFEST}{self._near()}")
        file, copy = self.path / MANIFEST, self.path / COPY
        try:
            manifest = read_json(file)
        except UnsafePath:
            raise
        except UserError:
            if not copy.exists():
                raise
            manifest = read_json(copy)
            said = plain(f"{file} was damaged and is restored from its copy")
            print(said, file=sys.stderr)
            write_whole(file, read_bytes(copy))
        if wrong := flaw(manifest, schema.MANIFEST):
            raise UserError(f"{file} is not the manifest of a run ({wrong}): choose another folder")
        found: dict[str, Any] = manifest
        return found

    @property
    def model(self) -> dict[str, Any]:
        """Name, fingerprint and settings of the model. Raises UserError without any."""
        found: dict[str, Any] | None = self.manifest["identity"].get("model")
        if found is None:
            raise UserError(f"{self.path / MANIFEST} names no model: choose another folder")
        return found

    def data_of(self, task: str) -> Path | None:
        """Where the data of a task are looked for first: the folder that the run was given as
        ``--data``, or for the questions of an imported log a folder of the run."""
        manifest = self.manifest
        if manifest["tasks"].get(task, {}).get("imported") is True:
            return self.path / IMPORTED
        return Path(manifest["data"]) if manifest.get("data") else None

    def start(self, identity: Mapping[str, Any], fresh: bool = False) -> None:
        """Begin this run, or go on with it. Raises UserError where another run lies here."""
        identity = json.loads(json.dumps(identity))
        known = self.exists
        if known and fresh:
            self._clear()
        for discarded in self.path.glob(".discarded-*"):
            shutil.rmtree(discarded, ignore_errors=True)
        if self.exists:
            self.expect(identity)
            for leftover in self.path.rglob(".*.tmp"):
                leftover.unlink(missing_ok=True)  # of a killed run
            return
        foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
        if foreign and not known:
            raise UserError(
                f"{self.path} is no run folder and holds other things ({foreign[0]} ...): "
                "choose another --output"
            )
        self._write({"identity": identity, "state": "started", "tasks": {}})

    def expect(self, identity: Mapping[str, Any]) -> None:
        """Raises UserError where this is a run with other settings."""
        identity = redacted(json.loads(json.dumps(identity)))
        self._same("settings", _compared(self.manifest["identity"]), _compared(identity))

    def start_task(self, name: str, version: str, data: str, limit: int | None) -> None:
        """Note what the task asks. Raises UserError where that, or more, was asked before."""
        tasks = self.manifest["tasks"]
        before = tasks.get(name, {})
        place = self.task(name).path
        if other := next((n for n in tasks if n != name and self.task(n).path == place), ""):
            raise UserError(
                f"{self.path} holds {other!r} in the folder that {name!r} would have: "
                "choose another --output"
            )
        if before:
            self._same(f"data of task {name}", before["data"], data)
            if limit and (before["limit"] is None or before["limit"] > limit):
                raise UserError(
                    f"{self.path} holds a larger run of {name} (--limit {before['limit']}), which "
                    f"--limit {limit} would replace: choose another --output"
                )
        now = {"version": version, "data": data, "limit": limit, "state": "started"}
        self.update(tasks={**tasks, name: {**before, **now}})

    def update_task(self, name: str, **values: Any) -> None:
        tasks = self.manifest["tasks"]
        self.update(tasks={**tasks, name: {**tasks[name], **values}})

    def _same(self, what: str, before: Any, now: Any) -> None:
        if differences := list(differing(before, now)):
            raise UserError(
                f"{self.path} holds a run with other {what} ({'; '.join(differences)}): "
                "choose another --output, or --fresh to start over"
            )

    def _clear(self) -> None:
        for entry in list(self.path.iterdir()):
            if not (entry.is_dir() and any((entry / name).exists() for name in OWN)):
                continue
            if entry.is_symlink():
                entry.unlink()  # what it leads to is not this run's
            else:
                # First out of sight, so that a kill leaves no half of it.
                entry.rename(self.path / f".discarded-{entry.name}-{os.getpid()}")
        for name in ("table.csv", "table.md", COPY, MANIFEST):  # the manifest says whose they are
            (self.path / name).unlink(missing_ok=True)

    def update(self, **values: Any) -> None:
        self._write({**self.manifest, **values})

    def _write(self, manifest: Mapping[str, Any]) -> None:
        for name in (MANIFEST, COPY):
            write_json(self.path / name, manifest)

    def task(self, name: str) -> TaskFolder:
        """The folder of a task; what stands after a colon may be any text, such as a path."""
        plain = re.sub(r"[^\w.+@=-]+", "-", name).strip("-.") or "task"
        if len(plain.encode()) > MAX_NAME:  # a file's name has at most 255 bytes
            plain = (
                f"{plain.encode()[: MAX_NAME - 13].decode(errors='ignore')}-{sha256_of(name)[:12]}"
            )
        folder = self.path / plain
        if folder.is_symlink():
            raise UnsafePath(f"{folder} is a link: a run folder holds its own files only")
        return TaskFolder(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process writes. Raises UserError while another one does."""
        with only_writer(self.path):
            try:
                yield
            finally:
                # A run that never began leaves nothing behind.
                if not self.exists:
                    (self.path / LOCK).unlink(missing_ok=True)
                    with suppress(OSError):
                        self.path.rmdir()


# Settings that came later, at the values at which they do nothing.
NEUTRAL = {"max_beta": 0.999, "repetition_penalty": 1.0}


def settings_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """The generation settings of a run's model, as two runs are compared by them.

    Older runs note among them how the weights were trained, which is no setting; they do not know
    all of today's settings, so one that has no effect is as none."""
    return {
        name: value
        for name, value in model["settings"].items()
        if name != "training" and not (name in NEUTRAL and value == NEUTRAL[name])
    }


def _compared(identity: Mapping[str, Any]) -> dict[str, Any]:
    """A run's identity without what is only told of its model."""
    if "model" not in identity:
        return dict(identity)
    model = {k: v for k, v in identity["model"].items() if k != "about"}
    if "settings" in model:
        model["settings"] = settings_of(model)
    return {**identity, "model": model}


def differing(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Leaves that differ between two trees of JSON values, as "name: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differing(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        old, new = map(_short, (old, new))
        yield f"{name}: {old} -> {new}" if name else f"{old} -> {new}"


def _short(value: Any) -> Any:
    """A value for a message: of a fingerprint, its first characters."""
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{40,64}", value):
        return value[:12]
    return "none" if value is None else value
