"""Data made once in the user's cache folder: whole or absent, checked when used again."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.cache import cache_folder as cache_folder

CHECKSUM = "sha256.txt"


def content_hash(folder: Path) -> str:
    """Hash of names and contents of all files below a folder, but for its checksum file."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != CHECKSUM):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``make`` when it is not there or its content has changed.

    Several processes may ask at once: each makes its own copy, the first rename wins."""
    checksum = folder / CHECKSUM
    if checksum.exists() and checksum.read_text().strip() == content_hash(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(
            f"cannot write the cache {folder.parent} ({error.strerror}): set HARMON_EVAL_CACHE "
            "to a folder that can be written"
        ) from None
    try:
        make(temporary)
        (temporary / CHECKSUM).write_text(content_hash(temporary) + "\n")
        if folder.exists():
            damaged = temporary.with_name(temporary.name + "-old")
            folder.rename(damaged)
            shutil.rmtree(damaged)
        try:
            temporary.rename(folder)
        except OSError:
            if not checksum.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
