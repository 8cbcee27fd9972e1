"""What a run came to, to compare runs by their bytes."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

KILLS = int(os.environ.get("HARMON_EVAL_TEST_KILLS", "6"))
TASKS = ("--tasks", "toy_draw,toy_ask")


def content(run: Path) -> dict[str, Any]:
    """All that a run came to: rows, images and exports by their bytes, metrics by their values."""
    names = ("rows.parquet", "marks.txt", "prompts.txt")
    found: dict[str, Any] = {
        str(p.relative_to(run)): p.read_bytes()
        for p in run.rglob("*")
        if p.suffix == ".png" or p.name in names or p.name in ("table.csv", "table.md")
    }
    for path in run.glob("*/metrics.json"):
        found[str(path.relative_to(run))] = json.loads(path.read_text())
    return found


def assert_clean(run: Path) -> None:
    assert not [p for p in run.rglob("*") if p.suffix == ".tmp" or p.name.startswith("rows-")]
    assert {p.name for p in run.iterdir() if p.name.startswith(".")} <= {
        ".lock",
        ".manifest-copy.json",
    }


def times_asked(file: Path) -> Counter[str]:
    return Counter(file.read_text().splitlines())


def wait_for_any(run: Path, pattern: str, process: Any, seconds: float = 60) -> None:
    """Until a file lies in the run folder, or the process has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if run.exists() and any(run.glob(pattern)):
            return
        time.sleep(0.002)


def wait_for_moment(run: Path, process: Any, dice: random.Random, phase: int) -> None:
    """Until drawing, marking or adding up has begun, and then a random time more."""
    wait_for_any(run, ("*/responses*.jsonl", "*/rows-*", "*/marks.json")[phase], process)
    time.sleep(dice.random() * (0.4, 0.3, 0.05)[phase])
