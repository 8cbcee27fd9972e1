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


def visible_places(mask: Tensor) -> Tensor:
    """Mask (B, L), True = hidden, -> the visible places (B, V) in raster order.

    Raises ValueError if rows hide different numbers of tokens."""
    counts = (~mask).sum(dim=1)
    if not bool((counts == counts[0]).all()):
        raise ValueError("all samples of a batch must hide the same number of tokens")
    return (~mask).nonzero()[:, 1].view(len(mask), -1)


def hidden_counts(tokens: int, iterations: int) -> list[int]:
    """Tokens hidden before each sampling iteration, and 0 after the last (MaskGIT's cosine).

    Iteration k changes h hidden tokens to max(1, min(h - 1, floor(L cos(pi/2 (k+1)/K)))). The last
    iteration generates all remaining tokens."""
    counts = [tokens]
    for k in range(iterations - 1):
        wanted = math.floor(tokens * math.cos(math.pi / 2 * (k + 1) / iterations))
        counts.append(max(1, min(counts[-1] - 1, wanted)))
    return [*counts, 0]
