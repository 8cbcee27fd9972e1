"""The user's cache folder, and data made once in it: whole or absent, checked when used again."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    Several processes may ask at once: one makes it, the others wait and take what it made. Raises
    UserError where the cache cannot be written."""
    if _is_sound(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with alone(folder.with_name(f".{folder.name}.lock")):
            # Another may have made it just now: only what is damaged still makes room.
            return folder if _is_sound(folder) else _made(folder, make)
    except PermissionError as error:
        raise _unwritable(folder, error) from None
    except OSError as error:
        if error.errno == errno.EROFS:
            raise _unwritable(folder, error) from None
        raise


def _is_sound(folder: Path) -> bool:
    checksum = folder / CHECKSUM
    try:
        return checksum.read_text().strip() == folder_sha256(folder, CHECKSUM)
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        make(temporary)
        (temporary / CHECKSUM).write_text(folder_sha256(temporary, CHECKSUM) + "\n")
        if folder.exists():
            damaged = temporary.with_name(temporary.name + "-old")
            folder.rename(damaged)
            shutil.rmtree(damaged)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write the cache {folder.parent} ({error.strerror}): set HARMON_EVAL_CACHE to a "
        "folder that can be written"
    )


@contextmanager
def alone(lock: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One process of this machine at a time; ``waiting`` is called where another one is at it.

    The lock is the kernel's: it goes with its process, however that ends."""
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            if not lock.exists() or os.fstat(file).st_ino != lock.stat().st_ino:
                continue  # the one before took the file away
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return
        finally:
            os.close(file)
