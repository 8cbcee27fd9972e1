"""The folder of one training: checkpoints written whole or not at all, and a JSONL history."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write to a temporary name beside ``path``, flush, rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint at ``path``, or None when there is none yet."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


class History:
    """One JSON object a line; each is also printed as a progress line."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.started = time.monotonic()

    def write(self, **values: float) -> None:
        values = {key: round(float(value), 5) for key, value in values.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")
        print("  ".join(f"{key} {value:g}" for key, value in values.items()), flush=True)
