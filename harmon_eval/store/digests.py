"""SHA-256 of what numbers depend on: bytes, files, JSON values. Imports nothing of the harness."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256_of(source: Path | bytes | memoryview | str) -> str:
    """64 hex digits of a file's content, read in pieces, or of bytes, or of text as UTF-8.

    Half a surrogate pair, which has no UTF-8, counts as a question mark."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    data = source.encode("utf-8", "replace") if isinstance(source, str) else source
    return hashlib.sha256(data).hexdigest()


def folder_sha256(folder: Path, but: str = "") -> str:
    """Hex digits of names and contents of all files below a folder, but for those of one name."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != but):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        digest.update(bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()


def checksum(value: Any, digits: int = 16) -> str:
    """Hex digits of a JSON value; the order of its keys does not matter."""
    return sha256_of(json.dumps(value, sort_keys=True))[:digits]
