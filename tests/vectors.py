"""Vectors: what the originals' own functions gave for invented inputs, as JSON."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest


class Vectors(dict[str, Any]):
    """Vectors by name; a test that asks for what this file does not hold is skipped."""

    def __missing__(self, key: str) -> Any:
        pytest.skip(f"these vectors hold no {key}")


def entries(vectors: Mapping[str, Any] | None, keys: Sequence[str]) -> list[Any]:
    """What a test with the mark ``entries(*keys)`` gets as ``case``, one by one: the entries of the
    list that the vectors hold under these keys, or the (name, value) pairs of a mapping.

    So an entry that lacks something is skipped alone, and the test names what it lacks. Without
    that list there is one case, which is skipped."""
    found: Any = vectors
    for place, key in enumerate(keys):
        if found is None or key not in found:
            lacking = "/".join(keys[: place + 1])
            why = "the vectors are not here" if vectors is None else f"these hold no {lacking}"
            return [pytest.param(None, marks=pytest.mark.skip(reason=why), id="none")]
        found = found[key]
    if isinstance(found, Mapping):
        return [pytest.param(pair, id=str(pair[0])) for pair in found.items()]
    return [pytest.param(entry, id=_id(number, entry)) for number, entry in enumerate(found)]


def check(entry: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Assert that each value is what the entry holds under its name; then skip the test, with the
    names, for those that the entry does not hold."""
    held = {name: value for name, value in found.items() if name in entry}
    assert {name: entry[name] for name in held} == held
    if lacking := [name for name in found if name not in entry]:
        pytest.skip(f"this entry holds no {', '.join(lacking)}; all others are equal")


def _id(number: int, entry: Any) -> str:
    name = entry.get("name", "") if isinstance(entry, Mapping) else ""
    return f"{number}-{name}"[:60] if name else str(number)


@lru_cache(maxsize=4)
def read_vectors(variable: str, default: Path) -> Vectors:
    """Those of the file (JSON, also gzipped) that an environment variable names, or of ours."""
    content = Path(os.environ.get(variable) or default).read_bytes()
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    found: Vectors = json.loads(text, object_hook=Vectors)
    return found
