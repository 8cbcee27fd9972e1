"""Choose batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.mar import Grid

# How many tensors of the VAE's finest level exist at once while it decodes, with a margin.
FINEST_TENSORS = 6
SHARE = 0.8  # the part of the free memory to use
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")

T = TypeVar("T")
R = TypeVar("R")


class FittingBatches:
    """Runs a function on batches that are as large as memory allows.

    If a batch runs out of memory, it and all later batches are halved, down to one item. Results
    must not depend on the batch; those of generated images and replies do not. ``size`` is the
    initial batch size."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size

    def run(self, function: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """Results in order. Raises the function's errors; out of memory only for a single item."""
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
            # Outside the handler, the tensors of the failed batch have been freed.
            self.size = len(part) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return results


def out_of_memory(error: Exception) -> bool:
    """Whether the error means out of memory. PyTorch has no special class for this on the CPU."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def fitting_size(free: int | None, each: int) -> int | None:
    """How many items of ``each`` bytes fit into ``free`` bytes, at least one. None: unknown."""
    return None if free is None else max(1, int(SHARE * free) // each)


def bytes_a_picture(config: HarmonConfig, grid: Grid, dtype: torch.dtype) -> int:
    """Bytes that one guided image needs in addition to the weights, estimated on the high side: the
    VAE's finest level, and the widest activations, keys and values of both halves in the LLM."""
    vae, llm = config.vae, config.llm
    pixels = grid[0] * grid[1] * vae.stride**2
    finest = FINEST_TENSORS * pixels * vae.width * max(vae.multipliers[:2])
    tokens = 2 * (grid[0] * grid[1] + config.mar.buffers)
    backbone = tokens * (3 * llm.intermediate_size + 8 * llm.hidden_size)
    return dtype.itemsize * (finest + backbone)


def bytes_an_edit(config: HarmonConfig, grid: Grid, dtype: torch.dtype) -> int:
    """``bytes_a_picture`` of an edited image: the LLM also holds keys and values of the source, and
    a mask of image tokens by all tokens, in both halves."""
    llm, places = config.llm, grid[0] * grid[1] + config.mar.buffers
    width = llm.hidden_size // llm.num_attention_heads * llm.num_key_value_heads
    source = places * 2 * llm.num_hidden_layers * width + 2 * places * places
    return bytes_a_picture(config, grid, dtype) + 2 * dtype.itemsize * source


def free_memory(device: torch.device) -> int | None:
    """Bytes currently available on a device. None if the system does not tell."""
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
    """Bytes left under a container's limit (control groups, version 2)."""
    limit, used = folder / "memory.max", folder / "memory.current"
    if not (limit.exists() and used.exists()) or (most := limit.read_text().strip()) == "max":
        return None
    return max(0, int(most) - int(used.read_text()))
