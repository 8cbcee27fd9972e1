"""Feature vectors on disk: one append-only file of float32, read as mapped memory.

A vector that is read is a view of its file: of 1.28 million with 1,024 numbers (5.2 GB) only those
in use take memory, and the system may take it back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.store.digests import sha256_of
from harmon_eval.store.paths import open_file

DTYPE = np.dtype("<f4")
DIGITS = 32  # of a vector's hash


class VectorFiles:
    """Those of one folder. Written is one; earlier versions wrote one a process, by its rank."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mapped: dict[int, np.ndarray] = {}

    def _file(self, rank: int) -> Path:
        return self.folder / (f"vectors.{rank}.f32" if rank else "vectors.f32")

    def append(self, vectors: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Store (D,) vectors durably. Gives for each its hash and the place where it lies."""
        if not vectors:
            return []
        entries: list[dict[str, Any]] = []
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        opened = open_file(self._file(0), self.folder.parent, flags)
        with os.fdopen(opened, "ab") as file:
            # A killed run may have left a piece of a number.
            file.write(b"\0" * (-file.tell() % DTYPE.itemsize))
            for vector in vectors:
                data = np.ascontiguousarray(vector, dtype=DTYPE).tobytes()
                at = [0, file.tell() // DTYPE.itemsize, len(data) // DTYPE.itemsize]
                entries.append({"vector": sha256_of(data)[:DIGITS], "at": at})
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return entries

    def read(self, entry: Mapping[str, Any]) -> np.ndarray | None:
        """The vector (D,) of an entry as mapped memory; None where it is not what was stored."""
        match entry:
            case {"vector": str(digest), "at": [int(rank), int(start), int(width)]}:
                if min(rank, start, width) < 0:
                    return None
                vector = self._whole(rank, start + width)[start : start + width]
                sound = len(vector) == width and sha256_of(vector.data)[:DIGITS] == digest
                return vector if sound else None
        return None

    def _whole(self, rank: int, needed: int) -> np.ndarray:
        """A process's file (all its numbers,), mapped again where it has grown."""
        known = self._mapped.get(rank)
        if known is None or len(known) < needed:
            known = self._mapped[rank] = self._map(self._file(rank))
        return known

    def _map(self, file: Path) -> np.ndarray:
        """All numbers of a file (count,); none of one that is not there. Raises UnsafePath."""
        try:
            opened = open_file(file, self.folder.parent)
        except FileNotFoundError:
            return np.empty(0, DTYPE)
        with os.fdopen(opened, "rb") as content:
            count = os.fstat(opened).st_size // DTYPE.itemsize
            if not count:
                return np.empty(0, DTYPE)
            return np.asarray(np.memmap(content, dtype=DTYPE, mode="r", shape=(count,)))
