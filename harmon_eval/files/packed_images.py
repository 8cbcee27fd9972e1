"""Tables of the hub with images in several columns: each image becomes a file in the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.store.digests import sha256_of

INDEX = "index.json"
BATCH = 64  # rows in memory at a time


def read_rows(
    files: Sequence[Path], texts: Sequence[str], images: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Rows of Parquet files: the columns ``texts`` as they are, ``images`` as files (None: empty; a
    tuple of files where the cell is a list).

    Images are unpacked once, under the digest of their bytes. ``optional`` columns may be missing
    and are None then. Raises UserError for a file that cannot be read or lacks a column."""
    for file in files:
        known = _columns(file)
        if lacking := [name for name in (*texts, *images) if name not in {*known, *optional}]:
            raise UserError(f"{file} has no column {lacking[0]!r}: it has {', '.join(known)}")
        pictures = [name for name in images if name in known]
        folder = _unpacked(file, pictures)
        index = json.loads((folder / INDEX).read_text())
        named = [name for name in texts if name in known]
        for row, names in zip(_rows(file, named), index, strict=True):
            found = {k: _placed(folder, v) for k, v in zip(pictures, names, strict=True)}
            yield {**dict.fromkeys((*texts, *images)), **row, **found}


def _columns(file: Path) -> list[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        return [str(name) for name in parquet.read_schema(file).names]
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None


def _rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(BATCH, columns=list(columns)):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None


def _unpacked(file: Path, columns: Sequence[str]) -> Path:
    """A folder with the images of these columns, and an index of their names by row."""

    def make(folder: Path) -> None:
        index = []
        for row in _rows(file, columns):
            names = []
            for column in columns:
                cell = row[column]
                several = isinstance(cell, list)
                own = [_written(folder, one) for one in (cell if several else [cell])]
                names.append(own if several else own[0])
            index.append(names)
        (folder / INDEX).write_text(json.dumps(index))

    key = sha256_of(file)[:32] + "-" + sha256_of(" ".join(columns))[:8]
    return made_once(cache_folder() / "tables" / key, make)


def _written(folder: Path, cell: Any) -> str:
    """The name of the file with a cell's image; empty without one."""
    if not (data := _bytes(cell)):
        return ""
    name = f"{sha256_of(data)[:32]}.png"
    (folder / name).write_bytes(data)
    return name


def _placed(folder: Path, name: str | list[str]) -> Any:
    if isinstance(name, list):
        return tuple(_placed(folder, one) for one in name)
    return folder / name if name else None


def _bytes(cell: Any) -> bytes:
    """The encoded image in a cell; empty without one."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    return data if isinstance(data, bytes) else b""
