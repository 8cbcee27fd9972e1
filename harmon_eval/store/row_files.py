"""Rows of marks in Parquet files, read and written in pieces: no table of all is ever held.

A piece is a row group of a file. Files say nothing of the order of the samples; ``gathered`` puts
rows from anywhere into the order that is wanted.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from harmon_eval.core import UserError
from harmon_eval.store.paths import UnsafePath, open_file
from harmon_eval.store.rows import MAX_BYTES, in_parts

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 2**14  # rows that are put together, compressed and written at a time
DIGITS = 16  # of a digest, at least


@dataclass(frozen=True)
class Piece:
    """A row group: the rows from ``start`` on, in the count over all files."""

    file: Path
    group: int
    start: int
    rows: int


class RowFiles:
    """Files with the digests that they had when they were written (hexadecimal, or the first
    digits). One that is another now, or no table with these ``columns``, is left out; UnsafePath is
    raised."""

    def __init__(
        self, files: Iterable[tuple[Path, str]], root: Path, columns: Sequence[str] = ()
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.root = root
        self.pieces: list[Piece] = []
        self.schemas: list[pa.Schema] = []
        self._last: tuple[Piece, pa.Table] | None = None
        for path, digest in files:
            try:
                with self._open(path) as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                    if len(digest) < DIGITS or not found.startswith(digest):
                        continue
                    table = pq.ParquetFile(file)
                    groups = [
                        table.metadata.row_group(n).num_rows for n in range(table.num_row_groups)
                    ]
                    if not set(columns) <= set(table.schema_arrow.names):
                        continue
                    self.schemas.append(table.schema_arrow)
            except UnsafePath:
                raise
            except (OSError, pa.ArrowException):
                continue
            for group, rows in enumerate(groups):
                self.pieces.append(Piece(path, group, len(self), rows))

    def __len__(self) -> int:
        """Rows of all files."""
        return self.pieces[-1].start + self.pieces[-1].rows if self.pieces else 0

    def _open(self, path: Path) -> io.BufferedReader:
        return os.fdopen(open_file(path, self.root), "rb")

    def read(
        self, piece: Piece, columns: Sequence[str] | None = None, limit: int = MAX_BYTES
    ) -> pa.Table:
        """The rows of a piece. Raises UserError for what cannot be read, lacks a column, or has
        more than ``limit`` bytes."""
        with self._open(piece.file) as file:
            return in_parts(file, piece.file, columns, limit=limit, groups=[piece.group])

    def gathered(self, rows: np.ndarray, schema: pa.Schema) -> pa.Table:
        """The rows with these numbers, in this order, as a table of this form."""
        import pyarrow as pa

        starts = np.array([piece.start for piece in self.pieces])
        owner = np.searchsorted(starts, rows, "right") - 1
        parts, order = [schema.empty_table()], []
        for number in np.unique(owner):
            own = np.flatnonzero(owner == number)
            piece = self.pieces[number]
            if self._last is None or self._last[0] != piece:  # the next block goes on in the last
                self._last = piece, self.read(piece)
            parts.append(self._last[1].take(pa.array(rows[own] - piece.start)))
            order.append(own)
        together = pa.concat_tables(parts, promote_options="permissive")
        back = np.argsort(np.concatenate(order), kind="stable") if order else np.empty(0, int)
        return in_form(together.take(pa.array(back)), schema)


def in_form(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with this form, whose columns it has in some order."""
    import pyarrow as pa

    columns = [
        pa.nulls(len(table)) if pa.types.is_null(field.type) else table[field.name].cast(field.type)
        for field in schema
    ]
    return pa.table(columns, schema)


def common_schema(schemas: Sequence[pa.Schema], texts: Sequence[str] = ()) -> pa.Schema:
    """The form of all rows together, whatever the pieces that they come in.

    A whole number that some rows do not have is a number, as pandas has it. ``texts``: columns that
    are texts or nothing. Raises UserError where a column holds different things, or for nothing."""
    import pyarrow as pa

    if not schemas:
        raise UserError("there are no rows to put together: the task has no samples")
    try:
        plain = [schema.remove_metadata() for schema in schemas]
        found = pa.unify_schemas(plain, promote_options="permissive")
    except pa.ArrowException as error:
        raise UserError(
            f"the rows hold different things in one column ({error}): mend the task's mark"
        ) from None
    fields = []
    for field in found:
        places = [schema.get_field_index(field.name) for schema in plain]
        partly = any(
            place < 0 or pa.types.is_null(schema.field(place).type)
            for place, schema in zip(places, plain, strict=True)
        )
        if partly and pa.types.is_integer(field.type):
            field = field.with_type(pa.float64())
        fields.append(field)
    whole = pa.schema(fields)
    frame = whole.empty_table().to_pandas()
    frame = frame.astype({name: object for name in texts if name in frame})
    return whole.with_metadata(pa.Schema.from_pandas(frame, preserve_index=False).metadata)


def write_rows(file: BinaryIO, schema: pa.Schema, blocks: Iterable[pa.Table]) -> str:
    """Write blocks of ``ROW_GROUP`` rows each, and give the SHA-256 of the file.

    The same bytes for the same rows, in however many pieces they lie in memory."""
    import pyarrow.parquet as pq

    hashed = _Hashed(file)
    with pq.ParquetWriter(hashed, schema) as writer:
        for block in blocks:
            writer.write_table(block.combine_chunks(), ROW_GROUP)
    return hashed.digest.hexdigest()


def sliced(table: pa.Table) -> Iterator[pa.Table]:
    """The blocks of a table, at least one."""
    for start in range(0, max(len(table), 1), ROW_GROUP):
        yield table.slice(start, ROW_GROUP)


class _Hashed:
    """A file that is only written to, and the digest of what was."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.place = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.place += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.place

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.closed = True
