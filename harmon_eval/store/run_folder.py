"""The run folder. Every file is whole or absent, and what was answered once is never lost.

::

    RUN/manifest.json           what was run: settings, model, suite, versions, times, state
    RUN/.lock                   held by the one process that writes
    RUN/TASK/responses.jsonl    append-only log, one line a response, flushed to disk per batch
                                (older runs: also responses.1.jsonl ... of further processes)
    RUN/TASK/images/ID.png      drawn images
    RUN/TASK/vectors.f32        feature vectors, memory-mapped (older runs: vectors.1.f32 ...)
    RUN/TASK/rows.parquet       marks, one row a sample (rows-KEY/ holds parts while marking)
    RUN/TASK/marks.json         what the rows depend on, and their sha256
    RUN/TASK/metrics.json       what the marks come to
    RUN/table.csv, table.md     all tasks in one table

Everything read again has a checksum: images and rows a sha256, JSON files one of their content,
lines of a log a CRC. What does not match is made again, or said where it cannot be.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Answer, Reply, Sample, Unscorable, UserError
from harmon_eval.store import schema
from harmon_eval.store.digests import checksum, sha256_of
from harmon_eval.store.durable import read_json, write_all, write_json, write_whole
from harmon_eval.store.lock import LOCK, only_writer
from harmon_eval.store.log import append, log_entries
from harmon_eval.store.paths import UnsafePath, is_own_file, read_bytes
from harmon_eval.store.pngs import packed
from harmon_eval.store.recorded import Recorded
from harmon_eval.store.redact import plain, redacted
from harmon_eval.store.rows import unpacked
from harmon_eval.store.schema import flaw
from harmon_eval.store.vectors import VectorFiles

if TYPE_CHECKING:
    import pandas as pd

MANIFEST, LOG, ROWS, METRICS = "manifest.json", "responses.jsonl", "rows.parquet", "metrics.json"
MARKS, COPY = "marks.json", ".manifest-copy.json"
OWN = (LOG, ROWS, "images", "vectors.f32")  # what shows a task's folder
MAX_NAME = 160  # bytes of a task's folder; files beside it have its name and a little more
MAX_ROWS_BYTES = 2**36  # of rows in memory: beyond is a decompression bomb


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


def _encodable(text: str) -> str:
    """Half a surrogate pair, which JSON from an endpoint can hold, fits into no UTF-8 file."""
    return text.encode("utf-8", "replace").decode()


def _made_by(reply: str) -> dict[str, Any]:
    """The model that a server says has answered, and whether the reply was cut."""
    if not isinstance(reply, Reply):
        return {}
    model = {"model": _encodable(reply.model)[:200]} if reply.model else {}
    return {**model, **({"cut": True} if reply.cut else {})}


def _parquet(rows: pd.DataFrame) -> bytes:
    """The same bytes for the same rows, in however many pieces they lie in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False).combine_chunks(), buffer)
    return buffer.getvalue()


class TaskFolder:
    """Responses and marks of one task."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path.parent  # the run folder, which no file of the task may leave
        self.log = path / LOG
        self.vectors = VectorFiles(path)

    # -- responses ---------------------------------------------------------------------------

    def logs(self) -> list[Path]:
        """The log, and those of further processes, which earlier versions wrote."""
        return sorted(self.path.glob("responses*.jsonl"))

    def recorded(self) -> Recorded:
        """Log entries by sample id: the latest attempt at each.

        A damaged line, such as the torn last one of a killed run, is a response to ask for again.
        """
        return Recorded(self.logs(), self.root)

    def seconds_asking(self) -> float:
        """Of all batches together, whoever answered them."""
        entries = (entry for log in self.logs() for _, entry in log_entries(log, self.root))
        return sum(s for e in entries if isinstance(s := e.get("seconds", 0), int | float))

    def record(
        self,
        responses: Mapping[str, Any],
        seconds: float | None = None,
        before: Mapping[str, Mapping[str, Any]] | None = None,
        after: Mapping[str, str | None] | None = None,
    ) -> None:
        """Store responses (image, its PNG file, reply, vector or exception) by sample id, durably.

        ``before`` are the entries that these replace, ``after`` has a stamp of the answers that
        the request of a sample was made from."""
        entries: list[dict[str, Any]] = []
        images: dict[Path, bytes] = {}
        vectors = [r for r in responses.values() if isinstance(r, np.ndarray)]
        places = iter(self.vectors.append(vectors))
        for name, response in responses.items():
            if isinstance(response, np.ndarray):
                entry = {"id": name, **next(places)}
            else:
                entry = self._entry(name, response, images)
            if before and name in before:
                entry["attempt"] = int(before[name].get("attempt", 0)) + 1
            if after and after.get(name):
                entry["after"] = after[name]
            entries.append(entry)
        if seconds is not None:
            entries.append({"batch": len(responses), "seconds": round(seconds, 6)})
        write_all(images, self.root)
        append(self.log, entries, self.root)

    def _entry(self, sample_id: str, response: Any, images: dict[Path, bytes]) -> dict[str, Any]:
        """The line of a response; what belongs into a file of its own is added to ``images``."""
        if isinstance(response, BaseException):
            reason = str(response)
            if not isinstance(response, Unscorable):
                reason = f"{type(response).__name__}: {reason}"
            entry = {"id": sample_id, "error": redacted(_encodable(reason))}
            said = getattr(response, "reply", "")
            return {**entry, "said": _encodable(said), **_made_by(said)} if said else entry
        if isinstance(response, str):
            return {"id": sample_id, "reply": _encodable(response), **_made_by(response)}
        try:
            data = packed(response)
        except Unscorable as error:  # values of no known range
            return {"id": sample_id, "error": f"the image {error}"}
        images[self.image_file(sample_id)] = data
        return {"id": sample_id, "sha256": sha256_of(data)}

    def image_file(self, sample_id: str) -> Path:
        return self.path / "images" / f"{sample_id}.png"

    def own_image(self, sample_id: str) -> Path | None:
        """The image, where there is one and no link on the way to it."""
        file = self.image_file(sample_id)
        return file if is_own_file(file, self.root) else None

    def rows(
        self, columns: Sequence[str] | None = None, vectors: bool = True
    ) -> pd.DataFrame | None:
        """The stored rows as they are; None without any. Raises UserError for damaged ones."""
        file = self.path / ROWS
        try:
            found = unpacked(read_bytes(file, self.root), file, columns, vectors)
        except FileNotFoundError:
            return None
        if columns is None and (lacking := {"id", "group", "unscored"} - {*map(str, found)}):
            raise UserError(f"{file} has no column {min(lacking)!r}: mark the run again")
        if "id" in found and not found["id"].map(type).eq(str).all():
            raise UserError(f"{file} has ids that are no text: mark the run again")
        if "id" in found and found["id"].duplicated().any():
            raise UserError(f"{file} has two rows of one sample: mark the run again")
        return found

    def answer(
        self, sample: Sample, entry: Mapping[str, Any], checked: bool = False
    ) -> Answer | None:
        """The stored response, or None where it is missing, damaged or an error; of an image that
        is ``checked`` only its place is looked up."""
        if isinstance(entry.get("reply"), str):
            reply: str = entry["reply"]
            if entry.get("cut") is True:
                reply = Reply(reply)
                reply.cut = True
            return Answer(sample, reply)
        if "vector" in entry:
            vector = self.vectors.read(entry)
            return None if vector is None else Answer(sample, vector)
        if "sha256" not in entry:
            return None
        file = self.image_file(sample.id)
        if checked:
            return Answer(sample, file)
        try:
            data = read_bytes(file, self.root)
        except OSError:
            return None
        except UnsafePath:
            if file.parent.resolve().is_relative_to(self.path.resolve()):
                return None  # the image itself is a link: it is made again in its place
            raise
        return Answer(sample, file) if sha256_of(data) == entry["sha256"] else None

    # -- marks -------------------------------------------------------------------------------

    def marks(
        self, key: Mapping[str, Any], columns: list[str] | None = None
    ) -> pd.DataFrame | None:
        """Sound rows marked so far under ``key`` (task version, instruments); None without any."""
        import pandas as pd

        files = []
        try:
            written = read_json(self.path / MARKS, self.root)
            if written.get("key") == redacted(dict(key)):
                files.append((self.path / ROWS, str(written["sha256"])))
        except UnsafePath:
            raise
        except (OSError, UserError, KeyError, AttributeError):
            pass  # not finished, or damaged: then the parts count, or all is marked again
        for part in sorted(self.parts(key).glob("*.parquet")):
            files.append((part, part.stem.rpartition("-")[2]))
        found = (self._sound_rows(*file, columns) for file in files)
        frames = [rows for rows in found if rows is not None]
        if not frames:
            return None
        return pd.concat(frames, ignore_index=True)

    def parts(self, key: Mapping[str, Any]) -> Path:
        """Where rows are kept while marking: marks of another key never meet there."""
        return self.path / f"rows-{checksum(key)}"

    def _sound_rows(
        self, path: Path, sha256: str, columns: list[str] | None
    ) -> pd.DataFrame | None:
        """None for a file that is not what was written, or would not fit into any memory."""
        try:
            data = read_bytes(path, self.root)
            if not sha256_of(data).startswith(sha256) or len(sha256) < 16:
                return None
            return unpacked(data, path, columns, limit=MAX_ROWS_BYTES)
        except (OSError, UserError) as error:
            if isinstance(error, UnsafePath):
                raise
            return None

    def add_marks(self, key: Mapping[str, Any], share: str, rows: pd.DataFrame) -> None:
        data = _parquet(rows)
        name = f"{share}-{sha256_of(data)[:16]}.parquet"
        write_whole(self.parts(key) / name, data, self.root)

    def finish_marks(self, key: Mapping[str, Any], rows: pd.DataFrame) -> None:
        data = _parquet(rows)
        write_whole(self.path / ROWS, data, self.root)
        written = {"key": dict(key), "sha256": sha256_of(data)}
        write_json(self.path / MARKS, written, self.root)
        for parts in self.path.glob("rows-*"):
            shutil.rmtree(parts, ignore_errors=True)

    def export(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path, data = self.path / name, content.encode() if isinstance(content, str) else content
            try:
                same = read_bytes(path, self.root) == data
            except FileNotFoundError:
                same = False
            if not same:
                write_whole(path, data, self.root)


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


def settings_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """The generation settings of a run's model, as two runs are compared by them.

    Older runs note among them how the weights were trained, which is no setting."""
    return {name: value for name, value in model["settings"].items() if name != "training"}


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
        yield f"{name}: {old} -> {new}" if name else f"{old} -> {new}"
