"""The lock of a run folder: one process writes.

The operating system keeps it (``flock``, through the package filelock) and lets go of it when the
writer ends, however it ends. A dead writer blocks nobody, on this machine or on another.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harmon_eval.core import UserError
from harmon_eval.store.redact import plain

LOCK = ".lock"
WAIT = 1.0  # seconds: a writer that was just stopped may still be on its way out
WITHOUT = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def only_writer(run: Path) -> Iterator[None]:
    """Hold the folder's lock, making the folder where it is missing.

    Raises UserError while another process holds it, and where the folder cannot be written."""
    held = _taken(run)
    try:
        yield
    finally:
        if held is not None:
            held.release()


def _taken(run: Path) -> FileLock | None:
    """None where the file system has no locks, which is said."""
    # A folder without flock gets no lock rather than a file that outlives a dead writer.
    lock = FileLock(run / LOCK, fallback_to_soft=False)
    try:
        try:
            run.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=WAIT)
        except FileNotFoundError:  # a run that failed at once took its empty folder away
            run.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=WAIT)
    except Timeout:
        raise UserError(
            f"another process is writing into {run}: wait until it is done, or use another folder"
        ) from None
    except OSError as error:
        if error.errno in WITHOUT:
            print(plain(f"{run} is on a file system without locks: {UNGUARDED}"), file=sys.stderr)
            return None
        if error.errno == errno.ELOOP:
            raise UserError(
                f"{run / LOCK} is a link: a run folder holds its own files only"
            ) from None
        raise UserError(
            f"cannot write into {run} ({error.strerror}): use another folder (--output of a run)"
        ) from None
    return lock


UNGUARDED = "nothing keeps a second run out of it, so start none there"
