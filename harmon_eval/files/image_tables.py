"""Images in the rows of a table, as the hub's datasets have them: read where they lie.

The path ``FILE.parquet/17`` is the image of row 17. Parquet is read a row group at a time, Arrow
files of the datasets library are memory-mapped; nothing is unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harmon_eval.core import UserError

LABELS = ("label", "labels", "fine_label", "class", "cls", "target")


def labels_of(file: Path) -> Iterator[tuple[Path, str]]:
    """(path of a row's image, label) of all rows; of Parquet the labels alone are read.

    Raises UserError for a table without labels or images, or one that cannot be read."""
    with_labels = next((name for name in LABELS if name in _schema(file).names), None)
    if with_labels is None:
        raise UserError(f"{file} has no labels: name the column {' or '.join(LABELS[:2])}")
    _image_column(file)
    row = 0
    for part in range(_parts(file)):
        for label in _part(file, part, with_labels).to_pylist():
            yield file / str(row), str(label)
            row += 1


def read_row(path: Path) -> bytes:
    """The encoded image of ``FILE/ROW``. Raises OSError where the table has none there."""
    file = path.parent
    try:
        row = int(path.name)
        starts = _starts(file)
        part = int(np.searchsorted(starts, row, side="right")) - 1
        if row >= starts[-1]:
            raise OSError(f"{file} has no row {row}")
        value = _images(file, part)[row - int(starts[part])].as_py()
    except (UserError, ValueError) as error:
        raise OSError(str(error)) from None
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise OSError(f"row {row} of {file} holds no image")
    return data


@lru_cache(maxsize=8)
def _images(file: Path, part: int) -> pa.ChunkedArray:
    return _part(file, part, _image_column(file))


def _image_column(file: Path) -> str:
    """The first column of encoded images: bytes, or a structure that holds ``bytes``."""
    for field in _schema(file):
        kind = field.type
        inside = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        if inside or pa.types.is_binary(kind):
            return str(field.name)
    raise UserError(f"{file} has no column of encoded images (a structure with bytes)")


@lru_cache(maxsize=64)
def _opened(file: Path) -> Any:
    """A Parquet file, or the record batches of an Arrow file, whose data stay on disk."""
    try:
        if file.suffix == ".parquet":
            return pq.ParquetFile(file, memory_map=True)
        return pa.ipc.open_stream(pa.memory_map(str(file))).read_all().to_batches()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None


def _schema(file: Path) -> pa.Schema:
    opened = _opened(file)
    if file.suffix == ".parquet":
        return opened.schema_arrow
    return opened[0].schema if opened else pa.schema([])


def _parts(file: Path) -> int:
    opened = _opened(file)
    return opened.num_row_groups if file.suffix == ".parquet" else len(opened)


def _part(file: Path, part: int, column: str) -> Any:
    opened = _opened(file)
    if file.suffix != ".parquet":
        return opened[part].column(column)
    try:
        return opened.read_row_group(part, [column]).column(column)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None


@lru_cache(maxsize=4096)
def _starts(file: Path) -> np.ndarray:
    """(parts + 1,) first row of each part, and the number of rows."""
    opened, parts = _opened(file), range(_parts(file))
    if file.suffix == ".parquet":
        sizes = [opened.metadata.row_group(part).num_rows for part in parts]
    else:
        sizes = [opened[part].num_rows for part in parts]
    return np.cumsum([0, *sizes])
