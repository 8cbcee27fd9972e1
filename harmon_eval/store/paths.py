"""The one gate for files of a run folder, which may come from anybody, and for paths from content.

A file is opened relative to descriptors of the folders above it, one segment at a time, and no
segment below ``root`` may be a link: nothing outside of the folder is read or written, also where
somebody puts a link there in the meantime. What is no plain file, such as a pipe, is refused too.

``root`` is the folder that the user named; it may be a link of his own. Without one it is the
folder that holds the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harmon_eval.core import UserError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class UnsafePath(UserError):
    """A link, a path out of the folder, or what is no file: nothing goes on with such a folder."""


@contextmanager
def folder_of(file: Path, root: Path | None = None, make: bool = False) -> Iterator[int]:
    """Descriptor of the folder that holds ``file``; ``make`` creates what is missing above it.

    Raises UnsafePath, and OSError as ``os.open`` does."""
    parts = _parts(file, root)
    here = _opened_root(file.parent if root is None else root, make)
    try:
        for place, name in enumerate(parts[:-1]):
            below = _below(here, name, make, Path(root or file.parent, *parts[: place + 1]))
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _parts(file: Path, root: Path | None) -> tuple[str, ...]:
    try:
        parts = (file.name,) if root is None else file.relative_to(root).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts or "\0" in str(file):
        raise UnsafePath(f"{str(file)[:200]} leads out of {root or file.parent}")
    return parts


def _opened_root(root: Path, make: bool) -> int:
    if make:
        root.mkdir(parents=True, exist_ok=True)
    return os.open(root, FOLDER)


def _below(here: int, name: str, make: bool, shown: Path) -> int:
    """Descriptor of a folder in a folder."""
    for attempt in range(2):
        try:
            return os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=here)
        except FileNotFoundError:
            if not make or attempt:
                raise
            try:
                os.mkdir(name, dir_fd=here)
            except FileExistsError:
                continue  # by another process just now
        except OSError:
            _refuse_link(here, name, shown)
            raise
    raise FileNotFoundError(shown)


def _refuse_link(here: int, name: str, shown: Path) -> None:
    try:
        mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
    except OSError:
        return
    if stat.S_ISLNK(mode):
        raise UnsafePath(f"{shown} is a link: a run folder holds its own files only")


def open_in(here: int, name: str, flags: int, shown: Path) -> int:
    """Descriptor of a plain file in a folder; no link is followed and nothing is waited for.

    Raises UnsafePath for a link or what is no plain file, and OSError."""
    safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        opened = os.open(name, flags | safe, 0o666, dir_fd=here)
    except OSError as error:
        _refuse_link(here, name, shown)
        error.filename = str(shown)
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise UnsafePath(f"{shown} is no plain file: remove it")
    return opened


def open_file(file: Path, root: Path | None = None, flags: int = os.O_RDONLY) -> int:
    """Descriptor of ``file`` below ``root``. Raises UnsafePath and OSError."""
    with folder_of(file, root, make=bool(flags & os.O_CREAT)) as here:
        return open_in(here, file.name, flags, file)


def read_bytes(file: Path, root: Path | None = None, limit: int | None = None) -> bytes:
    """The content of ``file`` below ``root``.

    Raises UnsafePath, UserError for more than ``limit`` bytes, and OSError."""
    with os.fdopen(open_file(file, root), "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if limit is not None and size > limit:
            raise UserError(f"{file} has {size:,} bytes, more than {limit:,}: it is not read")
        return opened.read() if limit is None else opened.read(limit)


def is_own_file(file: Path, root: Path | None = None) -> bool:
    """Whether there is such a plain file, with no link on the way to it."""
    try:
        os.close(open_file(file, root))
    except (OSError, UnsafePath):
        return False
    return True


def segment(name: str, where: str) -> str:
    """A name from content that becomes one segment of a path. Raises UserError for any other."""
    if name in ("", ".", "..") or "/" in name or "\0" in name or len(os.fsencode(name)) > 255:
        raise UserError(f"{where}: {name[:80]!r} is no name of a file or folder")
    return name
