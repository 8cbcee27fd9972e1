"""A task's part of a run folder: what was answered, the marks, and the files that it exports.

``run_folder`` shows which files there are.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Answer, Reply, Sample, Unscorable, UserError
from harmon_eval.store.digests import checksum, sha256_of
from harmon_eval.store.durable import read_json, whole_file, write_all, write_json, write_whole
from harmon_eval.store.log import append, log_entries
from harmon_eval.store.paths import UnsafePath, is_own_file, open_file, read_bytes
from harmon_eval.store.pngs import packed
from harmon_eval.store.recorded import Recorded
from harmon_eval.store.redact import redacted
from harmon_eval.store.row_files import RowFiles, sliced, write_rows
from harmon_eval.store.rows import (
    LABELS,
    Columns,
    alike,
    check_ids,
    in_parts,
    labels,
    selected,
    values_of,
)
from harmon_eval.store.vectors import VectorFiles

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LOG, ROWS, METRICS, MARKS = "responses.jsonl", "rows.parquet", "metrics.json", "marks.json"
CALIBRATIONS = "calibration*.json"
HELD = "held.json"
REQUIRED = ("group", "unscored")  # columns that are needed beside the id
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

    def recorded(self, wanted: Collection[str] | None = None) -> Recorded:
        """Log entries by sample id: the latest attempt at each, or at each that is ``wanted``.

        A damaged line, such as the torn last one of a killed run, is a response to ask for again.
        """
        return Recorded(self.logs(), self.root, wanted)

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

    def rows(self, columns: Columns = None, vectors: bool = True) -> pd.DataFrame | None:
        """The stored rows as they are; None without any. ``columns``: their names, or which names
        to take. Raises UserError for damaged ones."""
        table = self._table(columns, vectors)
        if table is None:
            return None
        found: pd.DataFrame = table.to_pandas(self_destruct=True)
        return found

    def rows_to_add(
        self, columns: Callable[[pa.Field], bool], texts: Collection[str] = ()
    ) -> pd.DataFrame | None:
        """The same, with labels instead of names (``rows.labels``) but for columns among ``texts``.
        One column of names is held at a time."""
        import pyarrow as pa

        named = {*LABELS} - {*texts}
        table = self._table(lambda field: columns(field) and field.name not in named)
        if table is None:
            return None
        found: pd.DataFrame = table.replace_schema_metadata().to_pandas(self_destruct=True)
        with self._opened() as file:
            own = {name: labels(file, self.path / ROWS, name) for name in sorted(named)}
            found = found.assign(**own)
        del table
        self._check_columns(found, REQUIRED)
        pa.default_memory_pool().release_unused()
        return found

    def ids(self) -> pa.ChunkedArray:
        """Those of the stored rows, in order. Raises UserError for damaged ones, or without any."""
        if (table := self._table(["id"])) is None:
            raise UserError(f"{self.path / ROWS} is missing: mark the run again")
        return table["id"]

    def same_ids(self, other: TaskFolder) -> int | None:
        """How many rows both have, if their ids are the same and rise; none are held."""
        with self._opened() as ours, other._opened() as theirs:
            return alike(ours, theirs, self.path / ROWS)

    def _opened(self) -> io.BufferedReader:
        return os.fdopen(open_file(self.path / ROWS, self.root), "rb")

    def _table(self, columns: Columns, vectors: bool = True) -> pa.Table | None:
        file = self.path / ROWS
        try:
            with self._opened() as opened:
                found = in_parts(opened, file, columns, vectors)
        except FileNotFoundError:
            return None
        if columns is None:
            self._check_columns(found.column_names, ("id", *REQUIRED))
        if "id" in found.column_names:
            check_ids(found["id"], file)
        return found

    def _check_columns(self, found: Iterable[str], needed: Sequence[str]) -> None:
        if lacking := {*needed} - {*found}:
            file = self.path / ROWS
            raise UserError(f"{file} has no column {min(lacking)!r}: mark the run again")

    def rows_of(self, ids: Collection[str]) -> pd.DataFrame:
        """The stored rows of these samples. Raises UserError for damaged ones, or without any."""
        file = self.path / ROWS
        try:
            with os.fdopen(open_file(file, self.root), "rb") as opened:
                return selected(opened, file, ids)
        except FileNotFoundError:
            raise UserError(f"{file} is missing: mark the run again") from None

    def column(self, name: str) -> Iterator[Any]:
        """The values in one column of the stored rows, of those that have one."""
        file = self.path / ROWS
        with suppress(FileNotFoundError), os.fdopen(open_file(file, self.root), "rb") as opened:
            yield from values_of(opened, file, name)

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
        import pyarrow as pa

        files = self.marked(key)
        parts: dict[Path, list[pa.Table]] = {}
        for piece in files.pieces:
            with suppress(UserError):  # what would not fit into any memory is marked again
                table = files.read(piece, columns, MAX_ROWS_BYTES)
                parts.setdefault(piece.file, []).append(table)
        frames = [pa.concat_tables(own).to_pandas() for own in parts.values()]
        if not frames:
            return None
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

    def marked(self, key: Mapping[str, Any], columns: Sequence[str] = ()) -> RowFiles:
        """The sound files of rows that were marked so far under ``key``, which are not held; those
        that have the ``columns``."""
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
        return RowFiles(files, self.root, columns)

    def parts(self, key: Mapping[str, Any]) -> Path:
        """Where rows are kept while marking: marks of another key never meet there."""
        return self.path / f"rows-{checksum(key)}"

    def add_marks(self, key: Mapping[str, Any], share: str, rows: pd.DataFrame) -> None:
        import pyarrow as pa

        table, written = pa.Table.from_pandas(rows, preserve_index=False), io.BytesIO()
        digest = write_rows(written, table.schema, sliced(table))
        name = f"{share}-{digest[:16]}.parquet"
        write_whole(self.parts(key) / name, written.getbuffer(), self.root)

    def finish_marks(self, key: Mapping[str, Any], rows: pd.DataFrame) -> None:
        import pyarrow as pa

        table = pa.Table.from_pandas(rows, preserve_index=False)
        self.finish_with(key, table.schema, sliced(table))

    def finish_with(
        self, key: Mapping[str, Any], schema: pa.Schema, blocks: Iterable[pa.Table]
    ) -> None:
        """As ``finish_marks``, of blocks of rows that are made one by one (``store.row_files``)."""
        with whole_file(self.path / ROWS, self.root) as file:
            digest = write_rows(file, schema, blocks)
        write_json(self.path / MARKS, {"key": dict(key), "sha256": digest}, self.root)
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
