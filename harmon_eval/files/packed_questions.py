"""Question sets that carry their images: the hub's Parquet files and VLMEvalKit's TSV files.

Each row comes with its image files, unpacked once into the cache and named by their content, so
that the same picture in many rows is one file, and one group of the intervals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import Remote, UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.files.question_files import decoded, image_owners, read_tsv
from harmon_eval.replies.mmmu_answers import literal_list
from harmon_eval.store.digests import sha256_of

Row = dict[str, Any]
Keep = Callable[[Row], bool]

INDEX = "index.json"
IMAGES = "image"  # the column, in both layouts
BATCH = 64  # rows in memory at a time: a shard of the hub holds some 500 MB of images


def vlmevalkit_table(place: str, md5: str) -> Remote:
    """One of the tables that VLMEvalKit publishes, with the MD5 that it states."""
    name = place.rpartition("/")[2]
    return Remote(f"https://opencompass.openxlab.space/utils/{place}", name, md5=md5)


def every(row: Row) -> bool:
    return True


def find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files of the first pattern that has any, in order; none if no pattern has."""
    found = (sorted(folder.glob(pattern)) for pattern in patterns)
    return next((files for files in found if files), [])


def read_parquet_images(
    files: Sequence[Path], keep: Keep = every
) -> Iterator[tuple[Row, tuple[Path, ...]]]:
    """Rows of Parquet shards without their image column, and their images.

    ``keep`` sees a row without images; what it refuses is neither given nor unpacked. Raises
    UserError."""
    for file in files:
        images = unpacked_rows(file, _stored(file, keep))
        for number, row in _batches(file, images=False):
            if keep(row):
                yield row, images[str(number)]


def read_tsv_images(file: Path) -> Iterator[tuple[Row, tuple[Path, ...]]]:
    """Rows of VLMEvalKit's table without their image cell, and their images.

    A cell holds base64, a list of it written as text, or the index of the row that has the image.
    Raises UserError."""
    rows = read_tsv(file, needs=("index", IMAGES))
    cells = {row["index"]: row.pop(IMAGES, "") or "" for row in rows}
    owners = image_owners(file, cells)
    needed = dict.fromkeys(owners.values())
    images = unpacked_rows(file, ((index, _cells(cells[index], file, index)) for index in needed))
    for row in rows:
        yield dict(row), images[owners[row["index"]]]


def _cells(cell: str, file: Path, index: str) -> list[bytes]:
    where = f"{file}, row {index}"
    texts = literal_list(cell, where) if cell.startswith("[") else [cell]
    return [decoded(text, where) for text in texts]


def _stored(file: Path, keep: Keep) -> Iterator[tuple[str, list[bytes]]]:
    for number, row in _batches(file, images=True):
        cell = row.pop(IMAGES, None)
        if keep(row):
            cells = cell if isinstance(cell, list) else [cell]
            found = [c["bytes"] for c in cells if isinstance(c, dict) and c.get("bytes")]
            if not found:
                raise UserError(f"{file}, row {number + 1}: no image in it: get the file again")
            yield str(number), found


def _batches(file: Path, *, images: bool) -> Iterator[tuple[int, Row]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            names = [name for name in table.schema_arrow.names if images or name != IMAGES]
            batches = table.iter_batches(BATCH, columns=names)
            yield from enumerate(row for batch in batches for row in batch.to_pylist())
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None


def unpacked_rows(
    file: Path, images: Iterable[tuple[str, Sequence[bytes]]], reader: str = ""
) -> dict[str, tuple[Path, ...]]:
    """Row -> its image files, in a cache folder of the table's content, for each ``reader``."""
    key = reader + sha256_of(file)[:32]

    def make(folder: Path) -> None:
        index: dict[str, list[str]] = {}
        for row, found in images:
            names = [f"{sha256_of(data)[:32]}.png" for data in found]
            for name, data in zip(names, found, strict=True):
                (folder / name).write_bytes(data)
            index[row] = names
        (folder / INDEX).write_text(json.dumps(index))

    folder = made_once(cache_folder() / "tables" / key, make)
    index = json.loads((folder / INDEX).read_text())
    return {row: tuple(folder / name for name in names) for row, names in index.items()}
