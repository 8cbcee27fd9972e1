"""Vectors: what the originals' own functions gave for invented inputs, as JSON."""

from __future__ import annotations

import gzip
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest


class Vectors(dict[str, Any]):
    """Vectors by name; a test that asks for what this file does not hold is skipped."""

    def __missing__(self, key: str) -> Any:
        pytest.skip(f"these vectors hold no {key}")


@lru_cache(maxsize=4)
def read_vectors(variable: str, default: Path) -> Vectors:
    """Those of the file (JSON, also gzipped) that an environment variable names, or of ours."""
    content = Path(os.environ.get(variable) or default).read_bytes()
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    found: Vectors = json.loads(text, object_hook=Vectors)
    return found
