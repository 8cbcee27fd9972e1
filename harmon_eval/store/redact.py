"""Keys and tokens never reach a file or a terminal."""

from __future__ import annotations

import os
import re
from typing import Any, TypeVar, cast

from rich.markup import escape

T = TypeVar("T")
NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)$", re.IGNORECASE)
PATTERNS = re.compile(
    r"(?<=Bearer )[\w.~+/=-]{8,}|\b(?:sk|hf|ghp|gho|pk)[-_][\w-]{12,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
HIDDEN = "[hidden]"


def redacted(value: T) -> T:
    """Text, or a tree of JSON values, without what looks like a key.

    That is what stands in an environment variable named ...KEY, ...TOKEN, ...SECRET or
    ...PASSWORD, and what has the form of a well-known key or of a password in an address."""
    return cast(T, _hidden(value))


def plain(text: str) -> str:
    """Text for a terminal: without keys, and without control characters that would act there."""
    return "".join(c if c.isprintable() else " " for c in redacted(text))


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        hidden = PATTERNS.sub(HIDDEN, value)
        for secret in _secrets():
            hidden = hidden.replace(secret, HIDDEN)
        return hidden
    if isinstance(value, dict):
        return {
            k: HIDDEN if isinstance(v, str) and NAMES.search(k) else _hidden(v)
            for k, v in value.items()
        }
    return [_hidden(item) for item in value] if isinstance(value, list) else value


def _secrets() -> list[str]:
    return [v for name, v in os.environ.items() if NAMES.search(name) and len(v) >= 8]


def printable(text: object) -> str:
    """Text from prompts, models or files without control characters, markup or keys."""
    shown = plain(str(text))
    return escape(shown if len(shown) <= 1000 else shown[:1000] + " ...")
