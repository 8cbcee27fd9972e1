"""Reading the question files of benchmarks: JSON, tables, and images beside or inside of them."""

from __future__ import annotations

import base64
import binascii
import codecs
import csv
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.metrics.text import counted
from harmon_eval.store.digests import sha256_of

logger = logging.getLogger(__name__)
MAX_TABLE = 2**32  # bytes of a question file's rows in memory
SEPARATOR_LINE = re.compile(r"\"?sep=([,;|\t])\"?[ ,;|\t]*\r?\n", re.IGNORECASE)
MAX_REFERENCE = 64  # characters of a TSV's image cell that still name another row


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, or in what its byte order mark says; the mark is no part of it.

    Raises UserError for other encodings."""
    if file.exists() and not file.is_file():  # a pipe would be waited for
        raise UserError(f"{file} is no file: put the file there")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}): get it again") from None
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    if not wide and b"\0" in data[:4096]:
        raise UserError(
            f"{file} holds zero bytes, as UTF-16 without its mark: save it as UTF-8 (a spreadsheet "
            "calls that CSV UTF-8)"
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file}, line {line}: a byte is no {encoding.removesuffix('-sig').upper()} text: save "
            "it as UTF-8 (a spreadsheet calls that CSV UTF-8)"
        ) from None


def read_json(file: Path) -> Any:
    """Raises UserError for what is no JSON."""
    text = read_text(file)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None
    _check_pairs(file, text, values)
    return values


def _check_pairs(file: Path, text: str, values: Any) -> None:
    """Raises UserError for half of a surrogate pair, which JSON may hold and no text file can."""
    if not re.search(r"\\u[dD][89a-fA-F]", text):
        return
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise UserError(f"{file} holds {half}, half of a character: save it again") from None
    except RecursionError:
        raise UserError(f"{file} cannot be read (too deep): get it again") from None


def read_json_rows(file: Path) -> list[dict[str, Any]]:
    """A JSON array or JSON lines, whatever the suffix says."""
    return [row for _, row in placed_json_rows(file)]


def placed_json_rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """As ``read_json_rows``, each with where it stands: ``FILE, line 3``, or ``FILE, item 3`` of an
    array."""
    text = read_text(file)
    try:
        if text.lstrip().startswith("["):
            rows = [(f"{file}, item {n}", row) for n, row in enumerate(json.loads(text), start=1)]
        else:
            rows = [(f"{file}, line {n}", row) for n, row in _json_lines(file, text)]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None
    if not all(isinstance(row, dict) for _, row in rows):
        raise UserError(f"{file}: every entry must be an object")
    _check_pairs(file, text, [row for _, row in rows])
    return rows


def _json_lines(file: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            if _is_object(text):
                raise UserError(
                    f"{file} holds one object: give a list of objects, or one object a line"
                ) from None
            cause = getattr(error, "msg", error)
            raise UserError(f"{file}, line {number} is no JSON ({cause}): mend it") from None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def field(row: Mapping[str, Any], name: str, where: str) -> str:
    """The text of a field. Raises UserError that names file and field where it is missing."""
    if row.get(name) is None:
        raise UserError(f"{where}: the field {name!r} is missing")
    return str(row[name])


def whole_number(row: Mapping[str, Any], name: str, where: str) -> int:
    """As ``field``, of a whole number. Raises UserError also for what is none."""
    text = field(row, name, where)
    try:
        return int(text)
    except ValueError:
        raise UserError(
            f"{where}: the field {name!r} must be a whole number, not {text[:40]!r}"
        ) from None


def an_object(value: Any, what: str) -> Mapping[str, Any]:
    """The value, nothing as an empty object. Raises UserError for any other kind."""
    if value is None or isinstance(value, Mapping):
        return value or {}
    raise UserError(f"{what} must be an object, not {str(value)[:40]!r}: get the file again")


def say_fewer(found: int, published: int, what: str, place: object) -> None:
    """Say aloud that the files of a benchmark hold fewer prompts than it has: no score of these is
    one of the benchmark. Files of one's own may well do so."""
    if found < published:
        logger.warning(
            "%s: %s of the %s that the benchmark has: where that is not meant, get the files again",
            place,
            counted(found, what),
            f"{published:,}",
        )


def find_image(name: str, folders: Sequence[Path]) -> Path:
    """The image file ``name`` in the first folder that has it.

    A name never leads out of a folder. Links that a folder holds are its owner's, such as those of
    the hub's cache, and are followed. Raises UserError that says where it was looked for."""
    short = name if len(name) <= 80 else f"{name[:60]}... ({len(name)} characters)"
    looked = " or ".join(map(str, folders))
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\0" in name:
        raise UserError(f"image {short!r} is missing: put it into {looked}, and name it from there")
    for folder in folders:
        file = folder / name
        try:
            if file.is_file():
                return file
            if file.is_symlink():
                raise UserError(f"image {short!r} is missing: {file} is a link to a missing file")
        except OSError as error:  # such as a name that is too long
            raise UserError(f"image {short!r} cannot be read ({error.strerror})") from None
    raise UserError(f"image {short!r} is missing: put it into {looked}")


def read_tsv(file: Path, needs: Sequence[str] = ()) -> list[dict[str, str]]:
    """Rows of a tab-separated table whose quoted cells may hold line breaks.

    Raises UserError for one that cannot be read or lacks a column that it ``needs``."""
    rows = read_separated(file, "\t")
    if missing := [name for name in needs if rows and name not in rows[0]]:
        found = ", ".join(list(rows[0])[:12])
        raise UserError(f"{file}: the column {missing[0]!r} is missing; it has {found}")
    return rows


def read_separated(file: Path, delimiter: str = "") -> list[dict[str, str]]:
    """Rows of a CSV or TSV file. Raises UserError, also for a row that is longer than the head.

    Without a ``delimiter``, it is what stands in the head: many spreadsheets write semicolons, some
    tabs. A line such as ``sep=;`` above the head, for Excel, says it and is no row."""
    csv.field_size_limit(2**30)
    text = read_text(file)
    if told := SEPARATOR_LINE.match(text):
        text, delimiter = text[told.end() :], told[1]
    head = text.partition("\n")[0]
    delimiter = delimiter or next((mark for mark in ",;\t" if mark in head), ",")
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = list(table.fieldnames or ())
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise UserError(f"{file}: two columns are called {twice[0]!r}: rename one")
        rows = list(table)
    except csv.Error as error:
        raise UserError(f"{file} cannot be read ({error}): get it again") from None
    for number, row in enumerate(rows, start=1):
        if None in row:  # what csv calls the cells that are too many
            raise UserError(
                f"{file}, row {number} has more cells than there are columns: put cells that hold "
                "the separator into double quotes"
            )
    return rows


def tsv_images(file: Path, rows: Sequence[Mapping[str, str]]) -> dict[str, Path]:
    """``index`` of each row -> its image file, unpacked from base64 into the cache.

    A short cell names the row that has the image; that row must hold one itself. Raises
    UserError."""
    cells = {field(row, "index", str(file)): row.get("image") or "" for row in rows}
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
        return [dict(row) for row in read_separated(file)]
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
