"""Reading the question files of benchmarks: JSON, tables, and images beside or inside of them."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.store.digests import sha256_of

MAX_TABLE = 2**32  # bytes of a question file's rows in memory
MAX_REFERENCE = 64  # characters of a TSV's image cell that still name another row


def read_json(file: Path) -> Any:
    """Raises UserError for what is no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None


def read_json_rows(file: Path) -> list[dict[str, Any]]:
    """A JSON array or JSON lines, whatever the suffix says."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(line) for line in text.split("\n") if line.strip()]
        )
    except (ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{file}: every entry must be an object")
    return list(rows)


def field(row: Mapping[str, Any], name: str, where: str) -> str:
    """The text of a field. Raises UserError that names file and field where it is missing."""
    if row.get(name) is None:
        raise UserError(f"{where}: the field {name!r} is missing")
    return str(row[name])


def find_image(name: str, folders: Sequence[Path]) -> Path:
    """The image file ``name`` in the first folder that has it; names never lead out of a folder.

    Raises UserError that says where it was looked for."""
    for folder in folders:
        file = folder / name
        try:
            if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
                return file
        except OSError as error:  # such as a name of more than 255 bytes
            raise UserError(f"image {name[:80]!r} cannot be found ({error.strerror})") from None
    looked = " or ".join(map(str, folders))
    raise UserError(f"image {name!r} is missing: put it into {looked}")


def read_tsv(file: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table whose quoted cells may hold line breaks."""
    csv.field_size_limit(2**30)
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return list(csv.DictReader(opened, delimiter="\t"))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None


def tsv_images(file: Path, rows: Sequence[Mapping[str, str]]) -> dict[str, Path]:
    """``index`` of each row -> its image file, unpacked from base64 into the cache.

    A short cell names the row that has the image; that row must hold one itself. Raises
    UserError."""
    cells = {row["index"]: row.get("image") or "" for row in rows}
    owner = image_owners(file, cells)
    needed = sorted(set(owner.values()))
    images = unpacked(file, ((i, decoded(cells[i], f"{file}, row {i}")) for i in needed))
    return {index: images / _file_name(source) for index, source in owner.items()}


def image_owners(file: Path, cells: Mapping[str, str]) -> dict[str, str]:
    """``index`` of each row -> that of the row which holds its image. Raises UserError."""
    owner = {i: cell if 0 < len(cell) <= MAX_REFERENCE else i for i, cell in cells.items()}
    for index, source in owner.items():
        if len(cells.get(source, "")) <= MAX_REFERENCE:
            raise UserError(f"{file}: row {index} refers to row {source}, which has no image")
    return owner


def decoded(cell: str, where: str) -> bytes:
    """The bytes of a base64 cell. Raises UserError."""
    try:
        return base64.b64decode(cell, validate=True)
    except binascii.Error as error:
        raise UserError(f"{where}: the image is no base64 ({error}): get the file again") from None


def unpacked(file: Path, images: Iterator[tuple[str, bytes]]) -> Path:
    """A cache folder with the images of a table as NAME.png, whatever format they really have.

    Kept by the table's content, so that it is unpacked once."""
    key = sha256_of(file)[:32]

    def make(folder: Path) -> None:
        for name, data in images:
            (folder / _file_name(name)).write_bytes(data)

    return made_once(cache_folder() / "images" / key, make)


def _file_name(index: str) -> str:
    """Of a row's image. Only a plain index is part of it: any other text could be a path."""
    plain = re.fullmatch(r"[\w-]{1,64}", index, re.ASCII)
    return f"{index if plain else 'row-' + sha256_of(index)[:32]}.png"


def read_table(file: Path) -> list[dict[str, Any]]:
    """Rows of a .jsonl, .json, .csv, .tsv or .parquet file. Raises UserError."""
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    kind = file.suffix.lower()
    if kind in (".jsonl", ".json"):
        return read_json_rows(file)
    if kind == ".tsv":
        return [dict(row) for row in read_tsv(file)]
    if kind == ".csv":
        text = file.read_text(encoding="utf-8-sig")
        return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    if kind == ".parquet":
        return read_parquet(file)
    raise UserError(f"{file}: give a .jsonl, .json, .csv, .tsv or .parquet file")


def read_parquet(file: Path) -> list[dict[str, Any]]:
    """All rows. Raises UserError for what is no Parquet, or unpacks to more than MAX_TABLE."""
    import pyarrow
    from pyarrow import parquet

    rows: list[dict[str, Any]] = []
    size = 0
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(256):
                size += batch.nbytes
                if size > MAX_TABLE:
                    raise UserError(
                        f"{file} unpacks to more than {MAX_TABLE:,} bytes: split it, or keep the "
                        "images beside it"
                    )
                rows += batch.to_pylist()
        return rows
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None
