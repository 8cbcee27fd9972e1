"""Batches are halved when memory runs out, and results stay what they were."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmon_eval.model.memory import FittingBatches


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
