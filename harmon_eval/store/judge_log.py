"""The answers of a judge, on disk the moment they arrive: what was paid for is never asked again.

An append-only log, keyed by a hash of judge and request. Each line is flushed to disk before the
answer is used; a torn or damaged line is an answer that never came.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import Ask, Reply, Score
from harmon_eval.store.digests import checksum, sha256_of
from harmon_eval.store.log import append, log_lines, read_log_line, read_object

JUDGE_LOG = "judge.jsonl"
FIELDS = {"key", "judge", "reply", "model", "tokens_in", "tokens_out"}


def request_key(judge: str, request: Ask | Score) -> str:
    """Hash of what an answer depends on: the judge's identity, all text, the images' bytes."""
    images = [sha256_of(path) for path in request.images]
    content: list[Any] = [judge, request.system, request.question]
    if isinstance(request, Score):
        content += [request.kind, request.options, images]
    else:
        content += [request.max_new_tokens, images]
    return checksum(content, digits=64)


Entry = Mapping[str, Any]


class JudgeLog:
    """Replies by key, in the order they came.

    Without a path they are kept in memory only, beside those that are ``known``: a judge of another
    process has such a log, and gives what it adds (``taken``) to the one with a path (``keep``)."""

    def __init__(self, path: Path | None = None, known: Iterable[Entry] = ()) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._replies: dict[str, list[Reply]] = {}
        self._new: list[tuple[int, Entry]] = []
        for entry in entries(path) if path else known:
            self._replies.setdefault(entry["key"], []).append(_reply(entry))

    def replies(self, key: str) -> list[Reply]:
        with self._lock:
            return list(self._replies.get(key, ()))

    def add(self, key: str, judge: str, text: str) -> None:
        reply = text if isinstance(text, Reply) else Reply(text)
        entry = {
            "key": key,
            "judge": judge,
            "reply": str(reply),
            "model": reply.model,
            "tokens_in": reply.tokens_in,
            "tokens_out": reply.tokens_out,
            **({"flaw": reply.flaw, "cut": reply.cut} if reply.flaw or reply.cut else {}),
        }
        with self._lock:
            own = self._replies.setdefault(key, [])
            if self.path:
                append(self.path, [entry], _run(self.path))
            else:
                self._new.append((len(own), entry))
            own.append(reply)

    def taken(self) -> list[tuple[int, Entry]]:
        """What was added since the last call: how many replies there were before, and the entry."""
        with self._lock:
            new, self._new = self._new, []
        return new

    def keep(self, new: Iterable[tuple[int, Entry]]) -> None:
        """Store what another log has ``taken``, but no reply to what was asked twice at a time."""
        for before, entry in new:
            if len(self.replies(entry["key"])) == before:
                self.add(entry["key"], entry["judge"], _reply(entry))


def entries(path: Path) -> Iterable[dict[str, Any]]:
    """What the sound lines of a log hold."""
    if not os.path.lexists(path):
        return
    for _, line in log_lines(path, _run(path)):
        entry = read_log_line(line) or _without_checksum(line)
        if entry is not None and _is_sound(entry):
            yield entry


def _run(path: Path) -> Path:
    """The run folder of a task's log."""
    return path.parent.parent


def _is_sound(entry: dict[str, Any]) -> bool:
    try:
        _reply(entry)
        return isinstance(entry["key"], str)
    except (LookupError, TypeError, ValueError, OverflowError):
        return False


def _without_checksum(line: bytes) -> dict[str, Any] | None:
    """A line from before lines had a checksum. These fields and no other: what a damaged checksum
    leaves of a later line is not taken for one."""
    entry = read_object(line)
    return entry if entry is not None and entry.keys() == FIELDS else None


def _reply(entry: Entry) -> Reply:
    reply = Reply(entry["reply"])
    reply.model = str(entry["model"])
    reply.tokens_in, reply.tokens_out = int(entry["tokens_in"]), int(entry["tokens_out"])
    reply.flaw, reply.cut = str(entry.get("flaw", "")), entry.get("cut") is True
    return reply
