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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from harmon_eval.core import Answer, Sample, UserError

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
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it or run with --fresh") from None


def check_sample_id(sample_id: str) -> None:
    """An id becomes a path below the run folder. Raises UserError for anything that is more."""
    segments = sample_id.split("/")
    plain = all(re.fullmatch(r"[\w .+=@()-]{1,120}", s) and s.strip(". ") for s in segments)
    if not plain or len(sample_id) > 400:
        raise UserError(
            f"sample id {sample_id[:80]!r} is not a plain relative path: use letters, digits, "
            "and . _ - + = @ ( ) in segments between single slashes"
        )


class TaskFolder:
    """Responses and marks of one task."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- responses ---------------------------------------------------------------------------

    def recorded(self) -> dict[str, dict[str, Any]]:
        """Log entries by sample id, the last one of each. A torn last line is cut off."""
        log = self.path / LOG
        if not log.exists():
            return {}
        data = log.read_bytes()
        whole, newline, torn = data.rpartition(b"\n")
        if torn:
            with log.open("r+b") as file:
                file.truncate(len(whole) + len(newline))
        entries = {}
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
                entries[entry["id"]] = entry
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
                continue  # a damaged line is a response to ask for again
        return entries

    def record(self, responses: Mapping[str, Any]) -> None:
        """Store responses (image, reply, vector or exception) by sample id, durably."""
        lines = [json.dumps(self._entry(i, r), ensure_ascii=False) for i, r in responses.items()]
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOG).open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())

    def _entry(self, sample_id: str, response: Any) -> dict[str, Any]:
        if isinstance(response, BaseException):
            return {"id": sample_id, "error": f"{type(response).__name__}: {response}"}
        if isinstance(response, str):
            return {"id": sample_id, "reply": response}
        if isinstance(response, np.ndarray):
            vector = np.ascontiguousarray(response, dtype="<f4")
            text = base64.b64encode(vector.tobytes()).decode()
            return {"id": sample_id, "vector": text}
        buffer = io.BytesIO()
        response.save(buffer, "PNG")
        write_whole(self.image_file(sample_id), buffer.getvalue())
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        return {"id": sample_id, "sha256": digest}

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

    def export(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.path / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_whole(path, text)


class RunFolder:
    """One model on one suite with one set of settings; any number of tasks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def manifest(self) -> dict[str, Any]:
        """Raises UserError when this is no run folder."""
        file = self.path / MANIFEST
        if not file.exists():
            raise UserError(f"{self.path} is not a run folder: it has no {MANIFEST}")
        return read_json(file)

    def start(self, identity: Mapping[str, Any], fresh: bool = False) -> None:
        """Create the folder, or make sure that it holds the same run. Raises UserError otherwise."""
        self._make()
        identity = json.loads(json.dumps(identity))
        if fresh:
            for entry in self.path.iterdir():
                if entry.name == MANIFEST or (entry / LOG).exists() or (entry / ROWS).exists():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if (self.path / MANIFEST).exists():
            differences = list(differing(self.manifest["identity"], identity))
            if differences:
                raise UserError(
                    f"{self.path} holds a run with other settings ({'; '.join(differences)}): "
                    "choose another --output, or --fresh to start over"
                )
        else:
            write_json(self.path / MANIFEST, {"identity": identity, "state": "started"})

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
        return TaskFolder(self.path / name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process writes. Raises UserError while another one does."""
        self._make()
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process is writing into {self.path}: wait for it, "
                    "or choose another --output"
                ) from None
            yield


def differing(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Leaves that differ between two trees of JSON values, as "name: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differing(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name}: {old} -> {new}"


def in_order(rows: pd.DataFrame, samples: Sequence[Sample]) -> pd.DataFrame:
    """Rows in the order of their samples, others left out."""
    place = {sample.id: i for i, sample in enumerate(samples)}
    rows = rows[rows["id"].isin(place)]
    return rows.iloc[np.argsort(rows["id"].map(place).to_numpy(), kind="stable")].reset_index(
        drop=True
    )
