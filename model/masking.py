"""Which tokens are hidden: drawn at random in training, on a fixed schedule in sampling."""

from __future__ import annotations

import math

import torch
from scipy.stats import truncnorm
from scipy.stats.distributions import rv_frozen
from torch import Tensor

from harmon_eval.model.config import MARConfig


def mask_ratios(config: MARConfig) -> rv_frozen:
    """Distribution of the share of hidden tokens in training: a normal truncated to [min, 1].

    One draw serves a whole batch (MAR, section 4; Harmon: mean 1, std 0.25, min 0.7)."""
    mean, std = config.mask_ratio_mean, config.mask_ratio_std
    return truncnorm((config.mask_ratio_min - mean) / std, (1 - mean) / std, loc=mean, scale=std)


def hide_first(orders: Tensor, ratio: float) -> Tensor:
    """Mask (B, L), True = hidden, of the first ceil(L * ratio) places of each order (B, L)."""
    hidden = math.ceil(orders.shape[1] * ratio)
    mask = torch.zeros_like(orders, dtype=torch.bool)
    return mask.scatter(1, orders[:, :hidden], True)


def visible_places(mask: Tensor) -> Tensor:
    """Mask (B, L), True = hidden, to the visible places (B, V) in raster order.

    Raises ValueError when rows hide different numbers of tokens."""
    counts = (~mask).sum(dim=1)
    if not bool((counts == counts[0]).all()):
        raise ValueError("all samples of a batch must hide equally many tokens")
    return (~mask).nonzero()[:, 1].view(len(mask), -1)


def hidden_counts(tokens: int, iterations: int) -> list[int]:
    """Tokens hidden before each sampling iteration, and 0 after the last (MaskGIT's cosine).

    From hidden h to max(1, min(h - 1, floor(L cos(pi/2 (k+1)/K)))); all that is left comes last."""
    counts = [tokens]
    for k in range(iterations - 1):
        wanted = math.floor(tokens * math.cos(math.pi / 2 * (k + 1) / iterations))
        counts.append(max(1, min(counts[-1] - 1, wanted)))
    return [*counts, 0]
