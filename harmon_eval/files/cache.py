"""The user's cache folder, and data made once in it: whole or absent, checked when used again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

from harmon_eval.core import UserError
from harmon_eval.store.digests import folder_sha256

CHECKSUM = "sha256.txt"


def cache_folder() -> Path:
    """``HARMON_EVAL_CACHE``, or the platform's cache folder."""
    override = os.environ.get("HARMON_EVAL_CACHE")
    return Path(override) if override else user_cache_path("harmon_eval")


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``make`` when it is not there or its content has changed.

    Several processes may ask at once: each makes its own copy, the first rename wins."""
    checksum = folder / CHECKSUM
    if checksum.exists() and checksum.read_text().strip() == folder_sha256(folder, CHECKSUM):
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
        (temporary / CHECKSUM).write_text(folder_sha256(temporary, CHECKSUM) + "\n")
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
