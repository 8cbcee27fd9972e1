"""Which tokens are hidden: chosen at random in training, by a fixed schedule in sampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harmon_eval.model.config import MARConfig

if TYPE_CHECKING:
    from scipy.stats.distributions import rv_frozen


def mask_ratios(config: MARConfig) -> rv_frozen:
    """Distribution of the share of hidden tokens in training: a normal truncated to [min, 1].

    Each batch uses one draw (MAR, section 4; Harmon: mean 1, std 0.25, min 0.7)."""
    from scipy.stats import truncnorm  # in training only: it takes half a second

    mean, std = config.mask_ratio_mean, config.mask_ratio_std
    return truncnorm((config.mask_ratio_min - mean) / std, (1 - mean) / std, loc=mean, scale=std)


def hide_first(orders: Tensor, ratio: float) -> Tensor:
    """Mask (B, L), True = hidden, of the first ceil(L * ratio) places of each order (B, L)."""
    hidden = math.ceil(orders.shape[1] * ratio)
    mask = torch.zeros_like(orders, dtype=torch.bool)
    return mask.scatter(1, orders[:, :hidden], True)


def as_mask(name: str, mask: Tensor) -> Tensor:
    """The mask as booleans; also from whole numbers, and from floats that are 0.0 and 1.0.

    Raises ValueError for other floats, such as a mask of 0 and -inf that is added to scores."""
    if mask.is_floating_point() and not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(
            f"{name} holds other numbers than 0 and 1: give a mask of booleans, not one that is "
            "added to scores"
        )
    return mask.bool()


def visible_places(mask: Tensor) -> Tensor:
    """Mask (B, L), True = hidden, -> the visible places (B, V) in raster order.

    Raises ValueError if rows hide different numbers of tokens."""
    mask = as_mask("mask", mask)
    counts = (~mask).sum(dim=1)
    if not bool((counts == counts[0]).all()):
        raise ValueError("all samples of a batch must hide the same number of tokens")
    return (~mask).nonzero()[:, 1].view(len(mask), -1)


# Of generation then reconstruction: which iterations of 32 draw each stage.
GTR_ITERATIONS = (24, 6, 2)


def gtr_stages(grid: tuple[int, int]) -> Tensor:
    """The stage (L,) of each place in generation then reconstruction (GtR, arXiv 2510.17171): first
    the places with even row and column, then those with both odd, then all others."""
    rows, columns = torch.arange(grid[0])[:, None] % 2, torch.arange(grid[1])[None] % 2
    return torch.where(rows == columns, rows, 2).flatten()


def gtr_counts(grid: tuple[int, int], iterations: int) -> list[int]:
    """Tokens hidden before each iteration, and 0 after the last: GtR's stages one after the other,
    three quarters of the iterations for the first, 2 of 32 for the last.

    The shares are those of the published 64, 64 and 128 tokens in 24, 6 and 2 iterations. Raises
    ValueError for fewer than three iterations."""
    if iterations < len(GTR_ITERATIONS):
        raise ValueError(f"the order gtr needs at least 3 iterations, not {iterations}")
    of = sum(GTR_ITERATIONS)
    second, third = (max(1, round(iterations * part / of)) for part in GTR_ITERATIONS[1:])
    sizes = torch.bincount(gtr_stages(grid), minlength=3).tolist()
    left = sum(sizes)
    counts = [left]
    for size, own in zip(sizes, (iterations - second - third, second, third), strict=True):
        counts += [left - size * (k + 1) // own for k in range(own)]
        left -= size
    return counts


def hidden_counts(tokens: int, iterations: int) -> list[int]:
    """Tokens hidden before each sampling iteration, and 0 after the last (MaskGIT's cosine).

    Iteration k changes h hidden tokens to max(1, min(h - 1, floor(L cos(pi/2 (k+1)/K)))). The last
    iteration generates all remaining tokens."""
    counts = [tokens]
    for k in range(iterations - 1):
        wanted = math.floor(tokens * math.cos(math.pi / 2 * (k + 1) / iterations))
        counts.append(max(1, min(counts[-1] - 1, wanted)))
    return [*counts, 0]
