"""A task's part of a run folder: what was answered, the marks, and the files that it exports.

``run_folder`` shows which files there are.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Answer, Reply, Sample, Unscorable, UserError
from harmon_eval.store.digests import checksum, sha256_of
from harmon_eval.store.durable import read_json, write_all, write_json, write_whole
from harmon_eval.store.log import append, log_entries
from harmon_eval.store.paths import UnsafePath, is_own_file, read_bytes
from harmon_eval.store.pngs import packed
from harmon_eval.store.recorded import Recorded
from harmon_eval.store.redact import redacted
from harmon_eval.store.rows import unpacked
from harmon_eval.store.vectors import VectorFiles

if TYPE_CHECKING:
    import pandas as pd

LOG, ROWS, METRICS, MARKS = "responses.jsonl", "rows.parquet", "metrics.json", "marks.json"
CALIBRATIONS = "calibration*.json"
HELD = "held.json"
ROW_GROUP = 2**14  # rows that are put together, compressed and written at a time
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


def _parquet(rows: pd.DataFrame) -> memoryview:
    """The same bytes for the same rows, in however many pieces they lie in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(rows, preserve_index=False)
    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(buffer, table.schema) as writer:
        for start in range(0, max(len(table), 1), ROW_GROUP):
            writer.write_table(table.slice(start, ROW_GROUP).combine_chunks(), ROW_GROUP)
    return memoryview(buffer.getvalue())


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

    def keep_held(self, names: Sequence[str]) -> None:
        """Note the finished images that a model had, which are the samples (``core.Data``)."""
        if names and self.held() != list(names):
            write_json(self.path / HELD, {"names": list(names)}, self.root)

    def held(self) -> list[str]:
        """The same, read again; empty where samples came from the task. Raises UserError."""
        try:
            return [str(name) for name in read_json(self.path / HELD, self.root)["names"]]
        except FileNotFoundError:
            return []

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
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

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
