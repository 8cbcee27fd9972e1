"""The diffusion head: a small MLP that denoises each token by itself, given its condition z.

Rows N, channels C, condition width D, head width W.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmon_eval.model.config import HeadConfig
from harmon_eval.model.diffusion import Schedule, ancestral_sample

SINUSOIDS = 256


def sinusoids(t: Tensor) -> Tensor:
    """Step numbers (N,) to (N, 256): cosines, then sines, periods up to 10^4."""
    half = SINUSOIDS // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=t.device) / half)
    angles = t[:, None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(SINUSOIDS, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(sinusoids(t).to(self.mlp[0].weight.dtype))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(condition).chunk(3, dim=-1)
        return x + gate * self.mlp(self.in_ln(x) * (1 + scale) + shift)


class FinalLayer(nn.Module):
    def __init__(self, width: int, channels_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, channels_out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        x = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        return self.linear(x * (1 + scale) + shift)


class DiffusionHead(nn.Module):
    def __init__(self, config: HeadConfig, channels: int, condition_width: int) -> None:
        super().__init__()
        w = config.width
        self.config = config
        self.time_embed = TimeEmbedding(w)
        self.cond_embed = nn.Linear(condition_width, w)
        self.input_proj = nn.Linear(channels, w)
        self.res_blocks = nn.ModuleList(Block(w) for _ in range(config.depth))
        self.final_layer = FinalLayer(w, 2 * channels)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Noisy tokens (N, C) at steps (N,) with conditions (N, D) to noise and variance (N, 2C)."""
        return self.denoise(x, self.time_embed(t) + self.cond_embed(z))

    def denoise(self, x: Tensor, condition: Tensor) -> Tensor:
        """As ``forward``, with time and condition embedded and added already: (N, W)."""
        x = self.input_proj(x)
        for block in self.res_blocks:
            x = block(x, condition)
        return self.final_layer(x, condition)

    def sample(
        self,
        z: Tensor,
        noise_init: Tensor,
        noise_steps: Tensor,
        schedule: Schedule,
        cfg_scale: float = 1.0,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw tokens (N, C) given their conditions.

        ``z`` is (N, D), or with guidance (2N, D): conditional rows, then unconditional ones. Both
        share one diffusion state: only the conditional one is ever read. The noise is guided, the
        variance is the conditional row's. ``noise_init`` (N, C), ``noise_steps`` (S, N, C).
        """
        guided = len(z) == 2 * len(noise_init)
        dtype = self.cond_embed.weight.dtype
        embedded = self.cond_embed(z)
        times = self.time_embed(torch.as_tensor(schedule.steps, device=z.device))

        def denoise(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
            rows = x.to(dtype)
            output = self.denoise(torch.cat([rows, rows]) if guided else rows, embedded + times[i])
            if not guided:
                noise, variance = output.chunk(2, dim=1)
                return noise, variance
            conditional, unconditional = output.chunk(2, dim=0)
            noise, variance = conditional.chunk(2, dim=1)
            without = unconditional[:, : noise.shape[1]]
            return without + cfg_scale * (noise - without), variance

        return ancestral_sample(denoise, noise_init, noise_steps, schedule, temperature)


def initialize(head: DiffusionHead) -> None:
    """Fresh weights: Xavier, time embedding of std 0.02, modulations and output zero."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for index in (0, 2):
        nn.init.normal_(head.time_embed.mlp[index].weight, std=0.02)
    layers = [block.adaLN_modulation[1] for block in head.res_blocks]
    for layer in (*layers, head.final_layer.adaLN_modulation[1], head.final_layer.linear):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
