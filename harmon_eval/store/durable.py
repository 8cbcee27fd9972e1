"""Files that are whole or absent, and that tell when they are not what was written."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.store.digests import checksum
from harmon_eval.store.redact import redacted


def write_whole(path: Path, data: bytes | str) -> None:
    """Write through a temporary name in the same folder, flushed to disk before the rename."""
    write_all({path: data.encode() if isinstance(data, str) else data})


def write_all(files: Mapping[Path, bytes]) -> None:
    """Each file as in ``write_whole``. All are written before the first is flushed: the disk then
    takes them in one go, where a flush after each would wait for it every time."""
    temporary: dict[Path, Path] = {}
    try:
        with ExitStack() as opened:
            written = []
            for path, data in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
                file = opened.enter_context(temporary[path].open("wb"))
                file.write(data)
                file.flush()
                written.append(file)
            for file in written:
                os.fsync(file.fileno())
        for path in files:
            temporary[path].replace(path)
            del temporary[path]
    finally:
        for left in temporary.values():
            left.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    value = redacted(json.loads(json.dumps(value, allow_nan=False)))
    text = json.dumps({**value, "checksum": checksum(value)}, indent=2, ensure_ascii=False)
    write_whole(path, text + "\n")


def read_json(path: Path) -> Any:
    """Raises UserError for a file that is damaged, or was changed by hand."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it or run with --fresh") from None
    if isinstance(value, dict) and "checksum" in value and value.pop("checksum") != checksum(value):
        raise UserError(
            f"{path} is damaged (its content does not match its checksum); "
            "delete it or run with --fresh"
        )
    return value
