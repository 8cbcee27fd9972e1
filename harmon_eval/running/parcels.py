"""Batches on their way to a worker on another machine, with the files of the run folder in them.

Only the writer needs the run folder: drawn images that are marked, or asked about, travel as bytes.
Files of the data must lie at the same place on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


@dataclass(frozen=True)
class Parcel:
    """``files``: content by the place below ``home``."""

    batch: Sequence[Any]
    home: Path
    files: Mapping[Path, bytes]


def pack(batch: Sequence[Any], home: Path) -> Parcel:
    """A batch of samples or answers, with those files they name that lie below ``home``."""
    found: dict[Path, bytes] = {}

    def note(path: Path) -> Path:
        if path.is_relative_to(home):
            found[path.relative_to(home)] = path.read_bytes()
        return path

    for item in batch:
        _with_paths(item, note)
    return Parcel(batch, home, found)


@contextmanager
def unpacked(parcel: Parcel) -> Iterator[Sequence[Any]]:
    """The batch, naming files that are there for as long as this lasts."""
    if not parcel.files:
        yield parcel.batch
        return
    with TemporaryDirectory(prefix="harmon-eval-") as name:
        for place, content in parcel.files.items():
            file = Path(name) / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

        def moved(path: Path) -> Path:
            inside = path.is_relative_to(parcel.home)
            return Path(name) / path.relative_to(parcel.home) if inside else path

        yield [_with_paths(item, moved) for item in parcel.batch]


def _with_paths(value: Any, change: Callable[[Path], Path]) -> Any:
    """A copy in which every path, also in its requests, is what ``change`` makes of it."""
    if isinstance(value, Path):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_with_paths(item, change) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        before = {f.name: getattr(value, f.name) for f in fields(value)}
        after = {name: _with_paths(item, change) for name, item in before.items()}
        new = {name: item for name, item in after.items() if item is not before[name]}
        return replace(value, **new) if new else value
    return value
