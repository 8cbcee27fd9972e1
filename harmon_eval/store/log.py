"""Append-only logs: one JSON object a line, each with a CRC, on disk before ``append`` returns.

A torn line, as a killed run leaves one, and a damaged line are no entries: what they held is done
again.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from harmon_eval.store.paths import open_file

CRC = ', "crc32": "'


def append(log: Path, entries: Iterable[Mapping[str, Any]], root: Path | None = None) -> None:
    """Write one line an entry, durably. Raises UnsafePath where a link leads out of ``root``.

    Each call opens the log anew, so that its lock keeps out threads as well as processes."""
    data = b"".join(map(log_line, entries))
    with open_log(log, root, writing=True) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if size := file.seek(0, os.SEEK_END):
            file.seek(size - 1)
            if file.read(1) != b"\n":
                data = b"\n" + data  # ends the torn line of a killed run
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def log_entries(log: Path, root: Path | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each sound line begins, and what it holds."""
    for place, line in log_lines(log, root):
        if (entry := read_log_line(line)) is not None:
            yield place, entry


def log_lines(log: Path, root: Path | None = None) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, and the line, sound or not."""
    with open_log(log, root) as file:
        place = 0
        for line in file:
            yield place, line
            place += len(line)


def open_log(log: Path, root: Path | None = None, writing: bool = False) -> BinaryIO:
    """Raises UnsafePath for a link, which could lead to any file of this machine."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND if writing else os.O_RDONLY
    return os.fdopen(open_file(log, root, flags), "ab+" if writing else "rb")


def log_line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry)[:-1]
    return f'{text}{CRC}{zlib.crc32(text.encode()):08x}"}}\n'.encode()


def read_log_line(line: bytes) -> dict[str, Any] | None:
    """The entry; None for a line that is torn or damaged."""
    text, mark, rest = line.rstrip(b"\n").rpartition(CRC.encode())
    if not mark or rest != b'%08x"}' % zlib.crc32(text):
        return None
    return read_object(text + b"}")


def read_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object on a line; None where there is none."""
    try:
        # Decoded first: of bytes, json would guess the encoding, at half the cost of reading.
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
