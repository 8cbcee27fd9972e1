"""Make each sample's result bit-identical, whatever else is in its batch.

On a CPU, the kernel depends on the shape:

- Matrix products work in blocks of rows. Rows left over after the last whole block are added up in
  a different order. The block size, and whether whole blocks are enough, depends on the processor,
  the library and the number of threads. So ``row_block`` measures it, once per process and number
  of threads.
- Convolutions change with the number of images.
- Attention adds keys in the lanes of a vector (8 with AVX2, 16 with AVX-512), so padding must not
  move a key to another lane.
- SiLU rounds differently for elements left over after the last whole vector, and each thread's part
  of a large tensor ends with such elements.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LANES = 16
PIECE = 2**14  # so few floats that PyTorch does not split them between threads: whole vectors
BLOCKS = (4, 8, 16, 32)  # four rows of every width in use are also whole vectors
FIXED = 64  # rows of a product if no multiple works
MOST = 160  # rows measured; larger products are split into whole blocks in the same way
# Widths of harmon-mini and of the published 0.5b, (in, out).
WIDTHS = (
    (16, 160),
    (160, 480),
    (640, 160),
    (160, 424),
    (424, 160),
    (160, 100),
    (256, 768),
    (256, 32),
    (896, 896),
)


@dataclass(frozen=True)
class RowBlock:
    """If a product's number of rows is a multiple of ``rows``, each row's result does not depend on
    that number. If ``fixed``, this holds only for exactly ``rows`` rows."""

    rows: int
    fixed: bool = False


def row_block() -> RowBlock | None:
    """The row block on this machine for float32 and the current number of threads.

    None means that no tried block works; then results may depend on the batch in the last digits.
    """
    return _row_block(torch.get_num_threads())


def same_bits() -> bool:
    """Whether images, replies and features on this CPU in float32 are bit-identical in any batch.

    This checks rows of products, and attention of several samples with and without padding. On
    several threads MKL promises equal bits from call to call in its reproducible mode only
    (``MKL_CBWR``), so without it nothing is promised, whatever one measurement finds."""
    threads = torch.get_num_threads()
    return _repeats(threads) and row_block() is not None and _attention_holds(threads)


def _repeats(threads: int) -> bool:
    mode = os.environ.get("MKL_CBWR", "").upper()
    return threads == 1 or not torch.backends.mkl.is_available() or mode not in ("", "OFF")


@lru_cache
def _row_block(threads: int) -> RowBlock | None:
    with torch.inference_mode():
        cases = list(_products())
        for rows in BLOCKS:
            if all(_multiples_hold(rows, *case) for case in cases):
                return RowBlock(rows)
        if all(_places_hold(FIXED, *case) for case in cases):
            return RowBlock(FIXED, fixed=True)
    return None


def _products() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs (MOST, in), weights (out, in) and biases (out,). Does not change the global seed."""
    generator = torch.Generator().manual_seed(0)
    for width_in, width_out in WIDTHS:
        shapes = (MOST, width_in), (width_out, width_in), (width_out,)
        x, weight, bias = (torch.randn(shape, generator=generator) for shape in shapes)
        yield x, weight, bias


def _multiples_hold(rows: int, x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether the first and last rows alone give the same as among all rows, for each multiple of
    ``rows``."""
    whole = F.linear(x, weight, bias)
    counts = [*range(rows, 65, rows), MOST - 32]
    return all(
        torch.equal(F.linear(x[:count].clone(), weight, bias), whole[:count])
        and torch.equal(F.linear(x[-count:].clone(), weight, bias), whole[-count:])
        for count in counts
    )


def _places_hold(rows: int, x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether a row gives the same result at every place of a product with ``rows`` rows."""
    x = x[:rows]
    whole = F.linear(x, weight, bias)
    return all(
        torch.equal(F.linear(x.roll(shift, dims=0), weight, bias), whole.roll(shift, dims=0))
        for shift in range(1, rows)
    )


@lru_cache
def _attention_holds(threads: int) -> bool:
    """Whether attention with one or several queries gives the same in batches of 1 to 9, and when a
    multiple of LANES masked keys is appended."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for queries, keys in ((1, 48), (1, 61), (5, 48), (24, 24), (24, 60)):
            q, k, v = (
                torch.randn(9, 5, size, 32, generator=generator) for size in (queries, keys, keys)
            )
            mask = torch.zeros(1, 1, queries, keys)
            for given in (None, mask):
                whole = F.scaled_dot_product_attention(q, k, v, given)
                for batch in range(1, 9):
                    few_q, few_k, few_v = (part[:batch].clone() for part in (q, k, v))
                    few = F.scaled_dot_product_attention(few_q, few_k, few_v, given)
                    if not torch.equal(few, whole[:batch]):
                        return False
            if keys % LANES == 0 and not _padding_holds(q, k, v, mask):
                return False
    return True


def _padding_holds(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> bool:
    plain = F.scaled_dot_product_attention(q, k, v, mask)
    return all(
        torch.equal(
            F.scaled_dot_product_attention(
                q,
                F.pad(k, (0, 0, 0, more)),
                F.pad(v, (0, 0, 0, more)),
                F.pad(mask, (0, more), value=-torch.inf),
            ),
            plain,
        )
        for more in (LANES, 2 * LANES, 4 * LANES)
    )


def block_to_fill(x: Tensor) -> RowBlock | None:
    """What rows (..., D) are filled to in ``by_rows``; None where they stay as they are."""
    if x.device.type != "cpu" or torch.is_grad_enabled() or (block := row_block()) is None:
        return None
    whole = not block.fixed and (x.numel() // x.shape[-1]) % block.rows == 0
    return None if whole else block


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function to each row of (..., D): (..., E).

    On a CPU without gradients, the rows are padded with zeros to whole blocks, if this makes
    results independent of the batch."""
    if (block := block_to_fill(x)) is None:
        return function(x)
    more = -(x.numel() // x.shape[-1]) % block.rows
    filled = F.pad(x.reshape(-1, x.shape[-1]), (0, 0, 0, more))
    parts = filled.split(block.rows) if block.fixed else (filled,)
    given = torch.cat([function(part) for part in parts])
    return given[: len(given) - more].unflatten(0, x.shape[:-1])


class Linear(nn.Linear):
    """``nn.Linear`` by rows."""

    def forward(self, x: Tensor) -> Tensor:
        return by_rows(super().forward, x)


class SiLU(nn.SiLU):
    """``nn.SiLU`` by rows."""

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


def silu(x: Tensor) -> Tensor:
    """SiLU in pieces that are too small to be split between threads."""
    if (
        x.device.type != "cpu"
        or x.numel() <= PIECE
        or torch.is_grad_enabled()
        or torch.get_num_threads() == 1
    ):
        return F.silu(x)
    return torch.cat([F.silu(piece) for piece in x.flatten().split(PIECE)]).view_as(x)


def fill_rows(model: nn.Module) -> None:
    """Make all products of a model use ``by_rows``, in place.

    Only the class of the layers changes. Weights, their names and training stay the same, and the
    network's own code does not need to know."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
        elif type(module) is nn.SiLU:
            module.__class__ = SiLU


def one_by_one(function: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Apply a function to a batch of images; on a CPU, to one image at a time (costs little)."""
    if pictures.device.type != "cpu":
        return function(pictures)
    return torch.cat([function(picture) for picture in pictures.split(1)])
