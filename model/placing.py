"""Bring weights from mapped files to the device and number format that they are used in.

A tensor that is used as the file has it stays mapped: it takes no memory of its own, and all
processes of a machine share one copy. Any other is converted, one after the other, and its part of
the file is let go, so that no more than one is held twice.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

MAPS = Path("/proc/self/maps")
DONTNEED = 4  # of madvise, on Linux


def place(
    weights: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    seen: Callable[[str, Tensor], None],
) -> dict[str, Tensor]:
    """The weights on ``device``, those of floating point in ``dtype``.

    ``seen(name, tensor)`` is called for each as it is in the file, sorted by name."""
    mapped = _mapped()
    placed: dict[str, Tensor] = {}
    first: dict[object, Tensor] = {}  # by place in a file, which tied weights share
    for name in sorted(weights):
        tensor = weights[name]
        seen(name, tensor)
        wanted = dtype if tensor.is_floating_point() else tensor.dtype
        same = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and same in first:
            placed[name] = first[same]
        else:
            placed[name] = tensor.to(device, wanted).contiguous()
        first[same] = placed[name]
        if placed[name] is not tensor:
            _let_go(tensor, mapped)
    return placed


def _mapped() -> list[tuple[int, int]]:
    """The addresses (from, to) at which this process has files in its memory, in order."""
    if not (sys.platform == "linux" and MAPS.exists()):
        return []
    lines = (line.split(maxsplit=5) for line in MAPS.read_text().splitlines())
    ends = (line[0].split("-") for line in lines if len(line) > 5 and line[5].startswith("/"))
    return [(int(start, 16), int(end, 16)) for start, end in ends]


def _let_go(tensor: Tensor, mapped: list[tuple[int, int]]) -> None:
    """Give back the whole pages of a tensor that lies in a mapped file and was not changed. If they
    are touched again, they are read again."""
    start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
    place = bisect.bisect_right(mapped, (start, sys.maxsize)) - 1
    if place < 0 or not tensor.is_contiguous() or end > mapped[place][1]:
        return
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (end - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if size > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), DONTNEED)
