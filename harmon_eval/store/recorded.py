"""Logs of responses, read without being held: where each line stands, 16 bytes a response."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from harmon_eval.store.index import Numbers
from harmon_eval.store.log import log_entries, open_log, read_log_line

LOG_BITS = 48  # of a place, below the log's number: no log has 256 TB


class Recorded(Mapping[str, dict[str, Any]]):
    """Log entries by sample id: the latest attempt at each, of several logs. ``wanted``: of these
    samples alone.

    Lines that come after the logs were looked through are not seen."""

    def __init__(
        self, logs: Sequence[Path], root: Path | None = None, wanted: Collection[str] | None = None
    ) -> None:
        self._logs = [open_log(log, root) for log in logs]
        weakref.finalize(self, _close, self._logs)
        attempts: dict[str, int] = {}  # of the few that were asked more than once

        def places() -> Iterator[tuple[str, int]]:
            for number, log in enumerate(logs):
                for place, entry in log_entries(log, root):
                    name, attempt = entry.get("id"), entry.get("attempt", 0)
                    if not isinstance(name, str) or not isinstance(attempt, int):
                        continue
                    if wanted is not None and name not in wanted:
                        continue
                    if attempt >= attempts.get(name, 0):
                        if attempt:
                            attempts[name] = attempt
                        yield name, (number << LOG_BITS | place) + 1

        # From 1 on: 0 stands for none.
        self._places = Numbers(places())

    def numbers(self, pairs: Iterable[tuple[str, int]]) -> Numbers:
        """Numbers of some of these samples."""
        return self._places.beside(pairs)

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Raises KeyError."""
        place = self._places.get(name)
        entry = None if place is None else self._read(place - 1)
        if entry is None or entry.get("id") != name:
            raise KeyError(name)
        return entry

    def _read(self, place: int) -> dict[str, Any] | None:
        log = self._logs[place >> LOG_BITS]
        log.seek(place & (1 << LOG_BITS) - 1)
        return read_log_line(log.readline())

    def __iter__(self) -> Iterator[str]:
        for place in sorted(self._places.values()):
            if (entry := self._read(place - 1)) is not None:
                yield entry["id"]

    def __len__(self) -> int:
        return len(self._places)


def _close(logs: Sequence[BinaryIO]) -> None:
    for log in logs:
        log.close()
