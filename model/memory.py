"""Batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class FittingBatches:
    """Runs a function over batches as large as memory allows.

    A batch that runs out of memory is halved, and so are those after it, down to one item; results
    must not depend on the batch, as drawings and replies do not."""

    def __init__(self) -> None:
        self.size: int | None = None

    def run(self, function: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """Results in order. Raises what the function raises, for memory only with one item."""
        results: list[R] = []
        while len(results) < len(items):
            start = len(results)
            part = items[start : start + (self.size or len(items))]
            try:
                results += function(part)
                continue
            except (RuntimeError, MemoryError) as error:
                if len(part) == 1 or not out_of_memory(error):
                    raise
            # Out of the handler the failed batch's tensors are gone.
            self.size = len(part) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return results


def out_of_memory(error: Exception) -> bool:
    """Whether PyTorch says so; on the CPU its error has no class of its own."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
