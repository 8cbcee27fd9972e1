"""Samples of a task, and what is known of each, in a few bytes a sample."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from itertools import chain, islice
from typing import Generic, TypeVar, overload

import numpy as np

from harmon_eval.core import Sample

T = TypeVar("T")
HELD = 20_000  # more samples than these are made again by their task whenever they are needed
PARTS = 256  # of an index
SHIFT = 56  # of a key, to the number of its part


def name_key(name: str) -> int:
    """64 bits that stand for a sample's id."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())


class Numbers:
    """A number from 1 to 2**64 - 1 for each name, 16 bytes a pair; of equal names the last one
    counts.

    Names lie in ``PARTS`` by the first bits of their keys, so that sorting one takes little memory
    beside them."""

    def __init__(self, pairs: Iterable[tuple[str, int]] = ()) -> None:
        self._keys = [array("Q") for _ in range(PARTS)]
        self._values = [array("Q") for _ in range(PARTS)]
        for name, value in pairs:
            key = name_key(name)
            self._keys[key >> SHIFT].append(key)
            self._values[key >> SHIFT].append(value)
        for part, keys in enumerate(self._keys):
            ranked = np.array(keys, np.uint64)
            order = np.argsort(ranked, kind="stable")
            ranked = ranked[order]
            order = order[np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]]
            for held in (self._keys, self._values):
                held[part] = array("Q", np.array(held[part], np.uint64)[order].tobytes())

    def beside(self, pairs: Iterable[tuple[str, int]]) -> Numbers:
        """Other numbers of some of the same names: 8 bytes for each of all names."""
        found = copy(self)
        found._values = [array("Q", bytes(8 * len(keys))) for keys in self._keys]
        for name, value in pairs:
            found.put(name, value)
        return found

    def put(self, name: str, value: int) -> None:
        """Raises KeyError for a name that is not there."""
        part, place = self._place(name)
        self._values[part][place] = value

    def _place(self, name: str) -> tuple[int, int]:
        """Raises KeyError."""
        key = name_key(name)
        keys = self._keys[key >> SHIFT]
        place = bisect_left(keys, key)
        if place == len(keys) or keys[place] != key:
            raise KeyError(name)
        return key >> SHIFT, place

    def get(self, name: str) -> int | None:
        try:
            part, place = self._place(name)
        except KeyError:
            return None
        return self._values[part][place] or None

    def values(self) -> Iterator[int]:
        return filter(None, chain(*self._values))

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __len__(self) -> int:
        return sum(len(values) - values.count(0) for values in self._values)


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
    ranked = np.frombuffer(keys, np.uint64) if keys else np.empty(0, np.uint64)
    ranked.sort()  # in place
    twice = set(ranked[1:][ranked[1:] == ranked[:-1]].tolist())
    seen: set[str] = set()
    for sample in samples() if twice else ():
        if sample.id in seen:
            return len(keys), sample.id
        if name_key(sample.id) in twice:
            seen.add(sample.id)
    return len(keys), None
