"""Files that are whole or absent, and that tell when they are not what was written."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from harmon_eval.core import UserError
from harmon_eval.store.digests import checksum
from harmon_eval.store.paths import folder_of, open_in, read_bytes
from harmon_eval.store.redact import redacted

OPEN = 64  # files at a time: a process may often have no more than 1,024, a session 256
MAX_JSON = 2**26  # bytes: a manifest has some thousand
MAX_DEPTH = 64
Bytes = bytes | memoryview


def write_whole(path: Path, data: Bytes | str, root: Path | None = None) -> None:
    """Write through a temporary name in the same folder, flushed to disk before the rename.

    ``root``: the folder that it must not leave (``store.paths``)."""
    write_all({path: data.encode() if isinstance(data, str) else data}, root)


def write_all(files: Mapping[Path, Bytes], root: Path | None = None) -> None:
    """Each file as in ``write_whole``. Many are written before the first is flushed: the disk then
    takes them in one go, where a flush after each would wait for it every time."""
    items = list(files.items())
    for start in range(0, len(items), OPEN):
        _write(dict(items[start : start + OPEN]), root)


def _write(files: Mapping[Path, Bytes], root: Path | None) -> None:
    with ExitStack() as opened:
        folders = {
            parent: opened.enter_context(folder_of(parent / "x", root, make=True))
            for parent in dict.fromkeys(path.parent for path in files)
        }
        temporary: dict[Path, str] = {}
        try:
            written = []
            for path, data in files.items():
                temporary[path] = f".{path.name}.{secrets.token_hex(4)}.tmp"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                made = open_in(folders[path.parent], temporary[path], flags, path)
                file = opened.enter_context(os.fdopen(made, "wb"))
                file.write(data)
                file.flush()
                written.append(file)
            for file in written:
                os.fsync(file.fileno())
            for path in files:
                here = folders[path.parent]
                os.replace(temporary[path], path.name, src_dir_fd=here, dst_dir_fd=here)
                del temporary[path]
        finally:
            for path, name in temporary.items():
                with suppress(OSError):
                    os.unlink(name, dir_fd=folders[path.parent])


@contextmanager
def whole_file(path: Path, root: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write piece by piece, which is there as in ``write_whole`` at the end, or not."""
    with folder_of(path, root, make=True) as here:
        name = f".{path.name}.{secrets.token_hex(4)}.tmp"
        made = open_in(here, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path)
        try:
            with os.fdopen(made, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path.name, src_dir_fd=here, dst_dir_fd=here)
        finally:
            with suppress(OSError):  # gone where it got its name
                os.unlink(name, dir_fd=here)


def write_json(path: Path, value: Mapping[str, Any], root: Path | None = None) -> None:
    value = redacted(json.loads(json.dumps(value, allow_nan=False)))
    text = json.dumps({**value, "checksum": checksum(value)}, indent=2, ensure_ascii=False)
    write_whole(path, text + "\n", root)


def read_json(path: Path, root: Path | None = None) -> Any:
    """Raises UserError for a file that is damaged, too large, or was changed by hand."""
    try:
        value = parsed(read_bytes(path, root, MAX_JSON).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it or run with --fresh") from None
    if isinstance(value, dict) and "checksum" in value and value.pop("checksum") != checksum(value):
        raise UserError(
            f"{path} is damaged (its content does not match its checksum); "
            "delete it or run with --fresh"
        )
    return value


def parsed(text: str) -> Any:
    """JSON as its standard has it: no NaN, nothing infinite, and no deeper than any of ours.

    Raises ValueError, or RecursionError for what is very deep."""
    value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [v for inside in level for v in _inside(inside)]
        if not level:
            return value
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:20]} is beyond all numbers")
    return value
