"""Bring weights from mapped files to the device and number format that they are used in.

A tensor that is used as the file has it stays mapped: it takes no memory of its own, and all
processes of a machine share one copy. Any other is converted, one after the other, and its part of
the file is let go, so that no more than one is held twice.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

MAPS = Path("/proc/self/maps")
DONTNEED = 4  # of madvise, on Linux
Stamp = tuple[int, int, int]  # which file it is, its bytes, when it was last written to (ns)


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


def stamps(tensors: Iterable[Tensor]) -> dict[Path, Stamp]:
    """The files in which some of the tensors lie, as they are now; none but on Linux.

    What is written into such a file shows in the tensors. One that is replaced by another file of
    its name, as every careful program does, stays as it was."""
    mapped = _mapped()
    found = {_file_of(tensor, mapped) for tensor in tensors if tensor.device.type == "cpu"}
    return {path: _stamp(path) for path in map(Path, found - {""}) if path.exists()}


def written_to(files: Mapping[Path, Stamp]) -> list[Path]:
    """Those of the mapped files that were written to since."""
    now = {path: _stamp(path) for path in files if path.exists()}
    same_file = (path for path in now if now[path][0] == files[path][0])
    return [path for path in same_file if now[path] != files[path]]


def _stamp(path: Path) -> Stamp:
    state = os.stat(path)
    return state.st_ino, state.st_size, state.st_mtime_ns


def _mapped() -> list[tuple[int, int, str]]:
    """The addresses (from, to) at which this process has files in its memory, in order, and which
    file each is."""
    if not (sys.platform == "linux" and MAPS.exists()):
        return []
    lines = (line.split(maxsplit=5) for line in MAPS.read_text().splitlines())
    named = ((line[0].split("-"), line[5]) for line in lines if len(line) > 5)
    return [(int(start, 16), int(end, 16), name) for (start, end), name in named if name[0] == "/"]


def _file_of(tensor: Tensor, mapped: Sequence[tuple[int, int, str]]) -> str:
    """The mapped file in which a tensor lies; empty for one in memory."""
    start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
    place = bisect.bisect_right(mapped, (start, sys.maxsize)) - 1
    return mapped[place][2] if place >= 0 and end <= mapped[place][1] else ""


def _let_go(tensor: Tensor, mapped: Sequence[tuple[int, int, str]]) -> None:
    """Give back the whole pages of a tensor that lies in a mapped file and was not changed. If they
    are touched again, they are read again."""
    if not tensor.is_contiguous() or not _file_of(tensor, mapped):
        return
    start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (end - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if size > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), DONTNEED)
