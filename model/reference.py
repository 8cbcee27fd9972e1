"""A plain sampler, written straight from the description of Harmon: the yardstick of the fast one.

Both halves of guidance are carried through everything, diffusion states and VAE included, and
everything is computed anew at every step; only the prompt is cached, as in the release. It shares
the weights with the fast sampler, and of its code only the schedules.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from harmon_eval.model.diffusion import sampling_schedule
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import Grid
from harmon_eval.model.masking import hidden_counts
from harmon_eval.model.sampling import DrawSettings, Noise

Clock = Callable[[], float]


class Shares:
    """Seconds spent in each part of a drawing."""

    def __init__(self, clock: Clock = time.process_time) -> None:
        self.clock = clock
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[part] += self.clock() - start


def attention(module: nn.Module, x: Tensor, heads: int) -> Tensor:
    b, n, d = x.shape
    q, k, v = (
        part.view(b, n, heads, d // heads).transpose(1, 2) for part in module.qkv(x).chunk(3, -1)
    )
    return module.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))


def blocks(modules: nn.ModuleList, x: Tensor, heads: int) -> Tensor:
    for block in modules:
        x = x + attention(block.attn, block.norm1(x), heads)
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x))))
    return x


def resized(table: Tensor, side: int, grid: Grid) -> Tensor:
    buffers, image = table[:, : -side * side], table[:, -side * side :]
    image = image.view(1, side, side, -1).permute(0, 3, 1, 2)
    if grid != (side, side):
        image = F.interpolate(image, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([buffers, image.flatten(2).transpose(1, 2)], dim=1)


def encode(model: Harmon, tokens: Tensor, mask: Tensor, grid: Grid) -> Tensor:
    """Tokens (R, L, C), mask (R, L) with True = hidden, to (R, K + V, D)."""
    mar, k = model.mar, model.config.mar.buffers
    x = torch.cat([mar.fake_latent.expand(len(tokens), k, -1), mar.z_proj(tokens)], dim=1)
    x = mar.z_proj_ln(x + resized(mar.encoder_pos_embed_learned, model.config.mar.grid, grid))
    kept = ~F.pad(mask, (k, 0), value=False)
    x = x[kept].view(len(x), -1, x.shape[-1])
    return mar.encoder_norm(blocks(mar.encoder_blocks, x, model.config.mar.heads))


def decode(model: Harmon, x: Tensor, mask: Tensor, grid: Grid) -> Tensor:
    """(R, K + V, D) to the condition of every token, (R, L, D)."""
    mar, k, side = model.mar, model.config.mar.buffers, model.config.mar.grid
    x = mar.decoder_embed(x)
    kept = ~F.pad(mask, (k, 0), value=False)
    full = mar.mask_token.expand(len(x), kept.shape[1], -1).clone()
    full[kept] = x.flatten(0, 1)
    full = full + resized(mar.decoder_pos_embed_learned, side, grid)
    full = mar.decoder_norm(blocks(mar.decoder_blocks, full, model.config.mar.heads))
    return full[:, k:] + resized(mar.diffusion_pos_embed_learned, side, grid)


def join(model: Harmon, x: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
    """Through the LLM, behind the cached prompts (mask (R, T)), and back."""
    k = model.config.mar.buffers
    z = model.proj_in(x)
    z = torch.cat([z[:, k:], z[:, :k]], dim=1)
    full = F.pad(mask, (0, z.shape[1]), value=1)
    positions = (full.cumsum(1) - 1).clamp(min=0)[:, -z.shape[1] :]
    # By position: the fourth parameter has two names in the versions of transformers allowed.
    hidden = model.llm.model(
        *(None, full, positions, cache, z),
        use_cache=True,
    ).last_hidden_state
    cache.crop(-z.shape[1])
    hidden = torch.cat([hidden[:, -k:], hidden[:, :-k]], dim=1)
    return x + model.proj_out(hidden)


def head_output(model: Harmon, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """The diffusion head at noisy tokens (R, C), step numbers (R,), conditions (R, D)."""
    head = model.head
    half = 128
    rates = torch.exp(-np.log(10_000.0) * torch.arange(half, device=x.device) / half)
    angles = t[:, None].float() * rates
    condition = head.time_embed.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))
    condition = condition + head.cond_embed(z)
    x = head.input_proj(x)
    for block in head.res_blocks:
        shift, scale, gate = block.adaLN_modulation(condition).chunk(3, dim=-1)
        x = x + gate * block.mlp(block.in_ln(x) * (1 + scale) + shift)
    shift, scale = head.final_layer.adaLN_modulation(condition).chunk(2, dim=-1)
    x = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return head.final_layer.linear(x * (1 + scale) + shift)


def diffuse(
    model: Harmon, z: Tensor, noise: Tensor, steps: Tensor, scale: float, temperature: float
) -> Tensor:
    """Tokens (R, C) from conditions (R, D); with guidance the second half is carried along."""
    schedule = sampling_schedule(len(steps), model.config.head.train_steps)
    from_xt, from_predicted = schedule.x0_factors(model.config.head.prediction)
    channels, guided = noise.shape[1], len(z) != len(noise)
    x = torch.cat([noise, noise]) if guided else noise
    for step, i in enumerate(reversed(range(len(steps)))):
        t = torch.full((len(x),), int(schedule.steps[i]), device=x.device)
        seen = torch.cat([x[: len(noise)]] * 2) if guided else x
        predicted, variance = head_output(model, seen, t, z).split(channels, dim=1)
        if guided:
            with_prompt, without = predicted.chunk(2)
            predicted = torch.cat([without + scale * (with_prompt - without)] * 2)
        x0 = float(from_xt[i]) * x - float(from_predicted[i]) * predicted
        mean = float(schedule.posterior_mean_x0[i]) * x0 + float(schedule.posterior_mean_xt[i]) * x
        fraction = (variance + 1) / 2
        log_variance = fraction * float(np.log(schedule.betas[i]))
        log_variance = log_variance + (1 - fraction) * float(schedule.posterior_log_variance[i])
        fresh = torch.cat([steps[step], torch.randn_like(steps[step])]) if guided else steps[step]
        x = mean + (i > 0) * temperature * torch.exp(0.5 * log_variance) * fresh
    return x


@torch.inference_mode()
def plain_draw(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    orders: Tensor,
    noise: Noise,
    grid: Grid,
    settings: DrawSettings,
    shares: Shares | None = None,
) -> tuple[Tensor, Tensor]:
    """Latents (B, m, n, C) and pixels (B, 3, H, W) of prompts as in ``mar_iterations``."""
    shares = shares or Shares()
    copies = len(input_ids) // len(orders)
    orders = orders.repeat(copies, 1)
    length = orders.shape[1]
    with shares.of("LLM"):
        cache = DynamicCache(config=model.llm.config)
        model.llm.model(input_ids, None, None, cache, use_cache=True)
    tokens = torch.zeros(len(orders), length, model.config.vae.channels, device=orders.device)
    mask = torch.ones_like(orders, dtype=torch.bool)
    for k, (hidden, left) in enumerate(pairwise(hidden_counts(length, settings.iterations))):
        if hidden == left:
            continue
        with shares.of("encoder"):
            x = encode(model, tokens, mask, grid)
        with shares.of("LLM"):
            x = join(model, x, attention_mask, cache)
        with shares.of("decoder"):
            z = decode(model, x, mask, grid)
        after = torch.zeros_like(mask).scatter(1, orders[:, :left], True)
        now = mask & ~after
        scale = settings.cfg_scale
        if settings.cfg_schedule == "linear":
            scale = 1 + (scale - 1) * (length - max(left, 1)) / length
        with shares.of("head"):
            drawn = diffuse(model, z[now], *noise(k), scale, settings.temperature)
        tokens[now] = drawn
        tokens[len(tokens) // copies :] = tokens[: len(tokens) // copies].repeat(copies - 1, 1, 1)
        mask = after
    latents = tokens.unflatten(1, grid)
    with shares.of("VAE"):
        pixels = model.vae.decode(latents)
    pictures = len(latents) // copies
    return latents[:pictures], pixels[:pictures]
