"""Batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.mar import Grid

# Tensors of the VAE's finest level that are alive at once while it decodes, with room to spare.
FINEST_TENSORS = 6
SHARE = 0.8  # of what is free, to be used
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")

T = TypeVar("T")
R = TypeVar("R")


class FittingBatches:
    """Runs a function over batches as large as memory allows.

    A batch that runs out of memory is halved, and so are those after it, down to one item; results
    must not depend on the batch, as drawings and replies do not. ``size`` is where to start."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size

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


def fitting_size(free: int | None, each: int) -> int | None:
    """How many items of ``each`` bytes fit into what is free, at least one. None: not known."""
    return None if free is None else max(1, int(SHARE * free) // each)


def bytes_a_picture(config: HarmonConfig, grid: Grid, dtype: torch.dtype) -> int:
    """What drawing one guided picture takes beside the weights, estimated on the large side: the
    VAE's finest level, and both halves' widest activations, keys and values in the LLM."""
    vae, llm = config.vae, config.llm
    pixels = grid[0] * grid[1] * vae.stride**2
    finest = FINEST_TENSORS * pixels * vae.width * max(vae.multipliers[:2])
    tokens = 2 * (grid[0] * grid[1] + config.mar.buffers)
    backbone = tokens * (3 * llm.intermediate_size + 8 * llm.hidden_size)
    return dtype.itemsize * (finest + backbone)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be had on a device now. None where the system does not say."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type != "cpu":
        return None
    known = [size for size in (_available(MEMINFO), _left_in_group(CGROUP)) if size is not None]
    return min(known, default=None)


def _available(meminfo: Path) -> int | None:
    """Linux's own estimate."""
    if not meminfo.exists():
        return None
    lines = (line.split() for line in meminfo.read_text().splitlines())
    return next((1024 * int(words[1]) for words in lines if words[0] == "MemAvailable:"), None)


def _left_in_group(folder: Path) -> int | None:
    """What a container's limit leaves (control groups, version 2)."""
    limit, used = folder / "memory.max", folder / "memory.current"
    if not (limit.exists() and used.exists()) or (most := limit.read_text().strip()) == "max":
        return None
    return max(0, int(most) - int(used.read_text()))
