"""Batches in which a sample comes out the same to the last digit, whatever lies beside it.

On a CPU the kernel goes by the shape. Matrix products (MKL) compute rows that are left over from
blocks of four in another order of addition, for each thread's share of them; convolutions change
with the number of pictures. Measured with PyTorch 2.14 for 1 to 32 threads: products whose number
of rows is a multiple of four give the same rows whatever that number is. Attention adds the keys in
the lanes of a vector (8 with AVX2, 16 with AVX-512): padding must not move a key to another lane.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 4
LANES = 16


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of each row of (..., D): (..., E). On a CPU, unless it is to be differentiated,
    the rows are filled with zeros to a multiple of ROWS."""
    more = -(x.numel() // x.shape[-1]) % ROWS
    if not more or x.device.type != "cpu" or torch.is_grad_enabled():
        return function(x)
    filled = F.pad(x.reshape(-1, x.shape[-1]), (0, 0, 0, more))
    return function(filled)[:-more].unflatten(0, x.shape[:-1])


class Linear(nn.Linear):
    """``nn.Linear`` by rows."""

    def forward(self, x: Tensor) -> Tensor:
        return by_rows(super().forward, x)


def one_by_one(function: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """The function of a batch of pictures; on a CPU of each by itself, which costs it little."""
    if pictures.device.type != "cpu":
        return function(pictures)
    return torch.cat([function(picture) for picture in pictures.split(1)])
