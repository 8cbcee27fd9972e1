"""The run folder. Every file is whole or absent, and what was answered once is never lost.

::

    RUN/manifest.json           what was run: settings, model, suite, versions, times, state
    RUN/TASK/responses.jsonl    append-only log, one line a response, flushed to disk per batch
    RUN/TASK/images/ID.png      drawn images
    RUN/TASK/rows.parquet       marks, one row a sample (rows/ holds parts while marking)
    RUN/TASK/metrics.json       what the marks come to
    RUN/table.csv, table.md     all tasks in one table
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from harmon_eval.core import Answer, Sample, Unscorable, UserError

if TYPE_CHECKING:
    import pandas as pd

MANIFEST, LOG, ROWS, METRICS = "manifest.json", "responses.jsonl", "rows.parquet", "metrics.json"


def write_whole(path: Path, data: bytes | str) -> None:
    """Write through a temporary name in the same folder, flushed to disk before the rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it or run with --fresh") from None


def check_sample_id(sample_id: str) -> None:
    """An id becomes a path below the run folder. Raises UserError for anything that is more."""
    segments = sample_id.split("/")
    plain = all(
        re.fullmatch(r"[\w .+=@()-]+", s) and s.strip(". ") and len(s.encode()) <= 200
        for s in segments
    )
    if not plain or len(sample_id) > 400:
        raise UserError(
            f"sample id {sample_id[:80]!r} is not a plain relative path: use letters, digits, "
            "and . _ - + = @ ( ) in short segments between single slashes"
        )


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _png(image: Image.Image) -> bytes:
    if image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    # An orientation that came with the file is for the benchmark to apply or to ignore.
    image.save(buffer, "PNG", exif=image.info.get("exif", b""))
    return buffer.getvalue()


class TaskFolder:
    """Responses and marks of one task."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- responses ---------------------------------------------------------------------------

    def recorded(self) -> dict[str, dict[str, Any]]:
        """Log entries by sample id, the last one of each.

        A damaged line, such as the torn last one of a killed run, is a response to ask for again.
        """
        log = self.path / LOG
        if not log.exists():
            return {}
        entries = {}
        with log.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    entries[entry["id"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue
        return entries

    def record(self, responses: Mapping[str, Any]) -> None:
        """Store responses (image, reply, vector or exception) by sample id, durably."""
        lines = [json.dumps(self._entry(i, r)) + "\n" for i, r in responses.items()]
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOG).open("ab+") as file:
            if file.tell() and _last_byte(file) != b"\n":
                file.write(b"\n")  # ends the torn line of a killed run
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def _entry(self, sample_id: str, response: Any) -> dict[str, Any]:
        if isinstance(response, BaseException):
            reason = str(response)
            if not isinstance(response, Unscorable):
                reason = f"{type(response).__name__}: {reason}"
            return {"id": sample_id, "error": reason}
        if isinstance(response, str):
            return {"id": sample_id, "reply": response}
        if isinstance(response, np.ndarray):
            vector = np.ascontiguousarray(response, dtype="<f4")
            text = base64.b64encode(vector.tobytes()).decode()
            return {"id": sample_id, "vector": text}
        data = _png(response)
        write_whole(self.image_file(sample_id), data)
        return {"id": sample_id, "sha256": hashlib.sha256(data).hexdigest()}

    def image_file(self, sample_id: str) -> Path:
        return self.path / "images" / f"{sample_id}.png"

    def answer(self, sample: Sample, entry: Mapping[str, Any]) -> Answer | None:
        """The stored response, or None where it is missing, damaged or an error."""
        if isinstance(entry.get("reply"), str):
            return Answer(sample, entry["reply"])
        if "vector" in entry:
            try:
                data = base64.b64decode(entry["vector"], validate=True)
                return Answer(sample, np.frombuffer(data, dtype="<f4"))
            except (ValueError, TypeError):
                return None
        if "sha256" not in entry:
            return None
        file = self.image_file(sample.id)
        try:
            data = file.read_bytes()
        except OSError:
            return None
        return Answer(sample, file) if hashlib.sha256(data).hexdigest() == entry["sha256"] else None

    # -- marks -------------------------------------------------------------------------------

    def marks(self, key: Mapping[str, Any]) -> pd.DataFrame | None:
        """Rows marked so far under ``key`` (task version, instruments); others are thrown away."""
        import pandas as pd

        parts_folder, key_file = self.path / "rows", self.path / "marks.json"
        if key_file.exists() and read_json(key_file) != dict(key):
            shutil.rmtree(parts_folder, ignore_errors=True)
            for name in (ROWS, METRICS):
                (self.path / name).unlink(missing_ok=True)
        write_json(key_file, dict(key))
        files = [self.path / ROWS, *sorted(parts_folder.glob("*.parquet"))]
        parts = []
        for file in files:
            try:
                if file.exists():
                    parts.append(pd.read_parquet(file))
            except (OSError, ValueError):
                file.unlink()  # damaged: these samples are marked again
        if not parts:
            return None
        return pd.concat(parts, ignore_index=True).drop_duplicates("id", keep="last")

    def add_marks(self, rows: pd.DataFrame) -> None:
        parts = self.path / "rows"
        number = len(list(parts.glob("*.parquet"))) if parts.exists() else 0
        self._write_rows(parts / f"{number:06d}.parquet", rows)

    def finish_marks(self, rows: pd.DataFrame) -> None:
        self._write_rows(self.path / ROWS, rows)
        shutil.rmtree(self.path / "rows", ignore_errors=True)

    @staticmethod
    def _write_rows(path: Path, rows: pd.DataFrame) -> None:
        buffer = io.BytesIO()
        rows.to_parquet(buffer, index=False)
        write_whole(path, buffer.getvalue())

    def export(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path, data = self.path / name, content.encode() if isinstance(content, str) else content
            if not path.exists() or path.read_bytes() != data:
                write_whole(path, data)


class RunFolder:
    """One model on one suite with one set of settings; any number of tasks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return (self.path / MANIFEST).exists()

    @property
    def manifest(self) -> dict[str, Any]:
        """Raises UserError when this is no run folder."""
        if not self.exists:
            raise UserError(f"{self.path} is not a run folder: it has no {MANIFEST}")
        manifest: dict[str, Any] = read_json(self.path / MANIFEST)
        return manifest

    def start(self, identity: Mapping[str, Any], fresh: bool = False) -> None:
        """Begin this run, or go on with it. Raises UserError where another run lies here."""
        identity = json.loads(json.dumps(identity))
        if fresh:
            self._clear()
        if self.exists:
            self._same("settings", self.manifest["identity"], identity)
            for leftover in self.path.rglob(".*.tmp"):
                leftover.unlink()  # of a killed run
            return
        if foreign := [p.name for p in self.path.iterdir() if not p.name.startswith(".")]:
            raise UserError(
                f"{self.path} is no run folder and holds other things ({foreign[0]} ...): "
                "choose another --output"
            )
        write_json(self.path / MANIFEST, {"identity": identity, "state": "started", "tasks": {}})

    def start_task(self, name: str, version: str, data: str, limit: int | None) -> None:
        """Note what the task asks. Raises UserError where that, or more, was asked before."""
        tasks = self.manifest["tasks"]
        before = tasks.get(name, {})
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
            if entry.is_dir() and ((entry / LOG).exists() or (entry / ROWS).exists()):
                # First out of sight, so that a kill leaves no half of it.
                entry.rename(self.path / f".discarded-{entry.name}-{os.getpid()}")
        for name in (MANIFEST, "table.csv", "table.md"):
            (self.path / name).unlink(missing_ok=True)
        for discarded in self.path.glob(".discarded-*"):
            shutil.rmtree(discarded, ignore_errors=True)

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"cannot write into {self.path} ({error.strerror}): choose another --output"
            ) from None

    def update(self, **values: Any) -> None:
        write_json(self.path / MANIFEST, {**self.manifest, **values})

    def task(self, name: str) -> TaskFolder:
        """The folder of a task; what stands after a colon may be any text, such as a path."""
        return TaskFolder(self.path / re.sub(r"[^\w.+@=-]+", "-", name).strip("-."))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process writes. Raises UserError while another one does."""
        lock = self.path / ".lock"
        while True:
            self._make()
            with lock.open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UserError(
                        f"another process is writing into {self.path}: wait for it, "
                        "or choose another --output"
                    ) from None
                if not lock.exists() or os.fstat(file.fileno()).st_ino != lock.stat().st_ino:
                    continue  # a run that failed at once took its empty folder away
                try:
                    yield
                finally:
                    if not self.exists:
                        lock.unlink(missing_ok=True)
                        with suppress(OSError):
                            self.path.rmdir()
                return


def differing(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Leaves that differ between two trees of JSON values, as "name: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differing(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name}: {old} -> {new}" if name else f"{old} -> {new}"
