"""The diffusion head: a small MLP that denoises each token separately, given its condition z.

Shapes use N rows, C channels, condition width D and head width W.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmon_eval.model.config import HeadConfig
from harmon_eval.model.diffusion import add_noise, diffusion_loss_terms, training_schedule
from harmon_eval.model.masking import as_mask

SINUSOIDS = 256
FINAL_EPS = 1e-6  # of the final layer's norm, which has no weights


def sinusoids(t: Tensor) -> Tensor:
    """Step numbers (N,) -> (N, 256): cosines, then sines, with periods up to 10^4."""
    half = SINUSOIDS // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=t.device) / half)
    angles = t[:, None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(SINUSOIDS, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(sinusoids(t).to(next(self.mlp.parameters()).dtype))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale, gate = modulation.chunk(3, dim=-1)
        return x + gate * self.mlp(self.in_ln(x) * (1 + scale) + shift)


class FinalLayer(nn.Module):
    def __init__(self, width: int, channels_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, channels_out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale = modulation.chunk(2, dim=-1)
        x = F.layer_norm(x, x.shape[-1:], eps=FINAL_EPS)
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
        """Noisy tokens (N, C), steps (N,), conditions (N, D) -> prediction and variance (N, 2C)."""
        return self.denoise(x, self.modulations(self.time_embed(t) + self.cond_embed(z)))

    def modulations(self, condition: Tensor) -> list[Tensor]:
        """Embedded time + condition (..., W) -> shift, scale and gate of each block (..., 3W), and
        shift and scale of the final layer (..., 2W). They do not depend on the noisy tokens."""
        layers = (*self.res_blocks, self.final_layer)
        activated = self.final_layer.adaLN_modulation[0](condition)
        return [layer.adaLN_modulation[1](activated) for layer in layers]

    def denoise(self, x: Tensor, modulations: Sequence[Tensor]) -> Tensor:
        """Like ``forward``, but takes the modulations instead of time and condition."""
        x = self.input_proj(x)
        for layer, modulation in zip(
            (*self.res_blocks, self.final_layer), modulations, strict=True
        ):
            x = layer(x, modulation)
        return x

    def loss_terms(
        self, z: Tensor, tokens: Tensor, t: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Squared error and variational bound, each (R*B*L,), of tokens (B, L, C) given z
        (B, L, D).

        ``t`` (R*B*L,) and ``noise`` (R*B*L, C) hold R draws of step and noise per token: the whole
        batch for the first draw, then for the second, and so on."""
        draws = len(t) // (tokens.shape[0] * tokens.shape[1])
        schedule = training_schedule(self.config.train_steps, self.config.max_beta)
        x0 = tokens.repeat(draws, 1, 1).flatten(0, 1)
        xt = add_noise(x0, noise, t, schedule)
        z = z.repeat(draws, 1, 1).flatten(0, 1)
        output = self(xt.to(z.dtype), t, z).float()
        return diffusion_loss_terms(output, x0, xt, noise, t, schedule, self.config.prediction)

    def loss(self, z: Tensor, tokens: Tensor, mask: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Diffusion loss, averaged over hidden tokens only. In mask (B, L), True = hidden."""
        squared, bound = self.loss_terms(z, tokens, t, noise)
        weights = as_mask("mask", mask).repeat(len(t) // mask.numel(), 1).flatten()
        return ((squared + bound) * weights).sum() / weights.sum()


def initialize(head: DiffusionHead) -> None:
    """Fresh weights: Xavier; std 0.02 for the time embedding; zero for modulations and output."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for name, parameter in head.named_parameters():
        if "time_embed" in name and name.endswith("weight"):
            nn.init.normal_(parameter, std=0.02)
        elif "adaLN_modulation" in name or "final_layer.linear" in name:
            nn.init.zeros_(parameter)
