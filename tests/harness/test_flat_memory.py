"""Running, marking and comparing take a few bytes more for each further reply, and no more."""

from __future__ import annotations

import importlib
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from benchmarks.overhead import ours
from harmon_eval import cli
from harmon_eval.comparing import bounds, means
from harmon_eval.metrics import intervals
from harmon_eval.running import collecting, jobs, marking, runner
from harmon_eval.store import durable, row_files

FEW, MANY = 1000, 5000
MOST = 150  # bytes for each further reply; the integrals of the test take some hundred kB
BLOCK = 250  # what is held at a time, of either size


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The task of benchmarks/overhead.py, in blocks that are small beside both sizes."""
    monkeypatch.syspath_prepend(ours(tmp_path)["PYTHONPATH"].partition(":")[0])
    monkeypatch.setenv("OVERHEAD_N", "1")
    for module in (row_files, collecting):
        monkeypatch.setattr(module, "ROW_GROUP", BLOCK)
    for module in (bounds, intervals):
        monkeypatch.setattr(module, "AT_A_TIME", BLOCK)
    monkeypatch.setattr(means, "CHECKED", BLOCK)
    monkeypatch.setattr(durable, "MAX_JSON", 2**16)  # a buffer of that size is asked for
    monkeypatch.setattr(jobs, "HELD", BLOCK)
    monkeypatch.setattr(runner, "MARK_BATCH", BLOCK)
    monkeypatch.setattr(marking, "FLUSH_SECONDS", 0.0)
    yield importlib.import_module("overhead_task")
    del sys.modules["overhead_task"]


def peak(*arguments: object) -> int:
    """The most bytes that Python, NumPy and Arrow held at a time for a command."""
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        assert cli.main(list(map(str, arguments))) in (0, 1)
        return tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def test_a_further_reply_takes_few_bytes(task: Any, tmp_path: Path) -> None:
    peaks: dict[str, list[int]] = {"run": [], "mark": [], "compare": []}
    for count in (50, FEW, MANY):  # the first imports what is needed
        task.N = count
        first, second = (tmp_path / f"{name}{count}" for name in "ab")
        run = ("--model", "erring:7", "--tasks", "overhead", "--output", first)
        other = ("--model", "erring:5", "--tasks", "overhead", "--output", second)
        peaks["run"].append(peak(*run))
        peak(*other)
        peaks["mark"].append(peak("mark", first, "--tasks", "overhead"))
        peaks["compare"].append(peak("compare", first, second))
    grown = {name: (found[2] - found[1]) / (MANY - FEW) for name, found in peaks.items()}
    assert max(grown.values()) < MOST, grown
