"""The answers of a judge, on disk the moment they arrive: what was paid for is never asked again.

An append-only log, one JSON object a line, keyed by a hash of judge and request. Each line is
flushed to disk before the answer is used; the torn last line of a killed run is recognised.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harmon_eval.core import Ask, Reply

JUDGE_LOG = "judge.jsonl"


def request_key(judge: str, request: Ask) -> str:
    """Hash of what an answer depends on: the judge's identity, all text, the images' bytes."""
    images = [hashlib.sha256(path.read_bytes()).hexdigest() for path in request.images]
    content = [judge, request.system, request.question, request.max_new_tokens, images]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


class JudgeLog:
    """Replies by key, in the order they came. Without a path they are kept in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._replies: dict[str, list[Reply]] = {}
        for entry in entries(path) if path else ():
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
        }
        with self._lock:
            if self.path:
                _append(self.path, json.dumps(entry) + "\n")
            self._replies.setdefault(key, []).append(reply)


def entries(path: Path) -> Iterable[dict[str, Any]]:
    """Sound lines of a log; a torn or garbled one is an answer that never came."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
                _reply(entry)
                sound = isinstance(entry["key"], str)
            except (ValueError, LookupError, TypeError):
                continue
            if sound:
                yield entry


def _reply(entry: dict[str, Any]) -> Reply:
    reply = Reply(entry["reply"])
    reply.model = str(entry["model"])
    reply.tokens_in, reply.tokens_out = int(entry["tokens_in"]), int(entry["tokens_out"])
    return reply


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                line = "\n" + line  # ends the torn line of a killed run
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
