"""Batches are halved when memory runs out, and results stay what they were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmon_eval.model.config import HARMON_0_5B, HARMON_MINI
from harmon_eval.model.fast.memory import (
    FittingBatches,
    _available,
    _left_in_group,
    bytes_a_picture,
    fitting_size,
    free_memory,
)


@given(st.integers(0, 60), st.integers(1, 60))
def test_batches_are_halved_until_they_fit(items: int, room: int) -> None:
    sizes = []

    def double(part: Sequence[int]) -> list[int]:
        if len(part) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(part))
        return [2 * item for item in part]

    fitting = FittingBatches()
    assert fitting.run(double, range(items)) == [2 * item for item in range(items)]
    assert all(size > min(room, items) // 4 for size in sizes[:-1])
    assert fitting.size is None or fitting.size <= room


def test_one_item_too_many_and_other_errors_are_raised() -> None:
    def fail(part: Sequence[int]) -> list[int]:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory" if failing else "a bug")

    failing = True
    with pytest.raises(RuntimeError, match="allocate"):
        FittingBatches().run(fail, [1, 2, 3])
    failing = False
    with pytest.raises(RuntimeError, match="a bug"):
        FittingBatches().run(fail, [1, 2, 3])


def test_the_first_size_is_what_fits() -> None:
    assert fitting_size(None, 100) is None
    assert [fitting_size(free, 100) for free in (0, 100, 249, 250, 1000)] == [1, 1, 1, 2, 8]
    sizes = []
    FittingBatches(2).run(lambda part: sizes.append(len(part)) or list(part), [1, 2, 3, 4, 5])
    assert sizes == [2, 2, 1]


def test_a_picture_takes_more_when_it_is_larger() -> None:
    """At 512 pixels, float32, six tensors of 128 x 512 x 512 alone are 805 MB."""
    small = bytes_a_picture(HARMON_0_5B, (16, 16), torch.float32)
    large = bytes_a_picture(HARMON_0_5B, (32, 32), torch.float32)
    assert 3 * small < large and 0.8e9 < large < 1.2e9
    assert 2 * bytes_a_picture(HARMON_0_5B, (32, 32), torch.bfloat16) == large
    assert bytes_a_picture(HARMON_MINI, (4, 4), torch.float32) < 10e6


def test_free_memory_is_the_least_of_machine_and_container(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    7 kB\n")
    assert _available(tmp_path / "meminfo") == 7 * 1024
    assert _available(tmp_path / "none") is None
    assert _left_in_group(tmp_path) is None
    (tmp_path / "memory.current").write_text("100\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _left_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("250\n")
    assert _left_in_group(tmp_path) == 150
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 0
