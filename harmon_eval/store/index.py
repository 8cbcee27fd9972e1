"""Samples of a task, and what is known of each, in a few bytes a sample."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar, overload

import numpy as np

from harmon_eval.core import Sample

T = TypeVar("T")
HELD = 20_000  # more samples than these are made again by their task whenever they are needed


def name_key(name: str) -> int:
    """64 bits that stand for a sample's id."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())


class Numbers:
    """A number of 64 bits for each name, 16 bytes a pair; of equal names the last one counts."""

    def __init__(self, pairs: Iterable[tuple[str, int]] = ()) -> None:
        keys, values = array("Q"), array("Q")
        for name, value in pairs:
            keys.append(name_key(name))
            values.append(value)
        ranked = np.frombuffer(keys, np.uint64) if keys else np.empty(0, np.uint64)
        order = np.argsort(ranked, kind="stable")
        ranked = ranked[order]
        order = order[np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]]
        self._keys, self._values = array("Q"), array("Q")
        for kept, given in ((self._keys, keys), (self._values, values)):
            kept.frombytes(np.asarray(given, np.uint64)[order].data.cast("B"))

    def get(self, name: str) -> int | None:
        if not self._keys:
            return None
        key = name_key(name)
        place = bisect_left(self._keys, key)
        found = place < len(self._keys) and self._keys[place] == key
        return self._values[place] if found else None

    def places(self, names: Iterable[str]) -> np.ndarray:
        """Where each name (names,) stands in ``values``; -1 for one that is not there."""
        keys = np.fromiter(map(name_key, names), np.uint64)
        own = np.frombuffer(self._keys, np.uint64) if self._keys else np.empty(0, np.uint64)
        found = np.searchsorted(own, keys)
        there = found < len(own)
        there[there] = own[found[there]] == keys[there]
        return np.where(there, found, -1)

    def values(self) -> Sequence[int]:
        return self._values

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __len__(self) -> int:
        return len(self._keys)


class MadeAgain(Sequence[T], Generic[T]):
    """A long sequence that is not held: ``make`` gives it anew, for slices from front to back."""

    def __init__(self, make: Callable[[], Iterator[T]], count: int) -> None:
        self._make, self._count = make, count
        self._going, self._next = make(), 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return self._make()

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, int):
            return self[index : index + 1 or None][0]
        start, stop, step = index.indices(self._count)
        if start < self._next:
            self._going, self._next = self._make(), 0
        found = list(islice(self._going, start - self._next, max(start, stop) - self._next))
        self._next = max(start, stop)
        return found[::step]


def repeated(samples: Callable[[], Iterator[Sample]]) -> tuple[int, str | None]:
    """How many samples there are, and an id that two of them have, if any."""
    keys = array("Q", (name_key(sample.id) for sample in samples()))
    ranked = np.sort(np.frombuffer(keys, np.uint64)) if keys else np.empty(0, np.uint64)
    twice = set(ranked[1:][ranked[1:] == ranked[:-1]].tolist())
    seen: set[str] = set()
    for sample in samples() if twice else ():
        if sample.id in seen:
            return len(keys), sample.id
        if name_key(sample.id) in twice:
            seen.add(sample.id)
    return len(keys), None
