"""The baseline for the fast sampler: a loop that does the same work as the release, timed by part.

Both halves of guidance go through everything, including diffusion states and the VAE, and
everything is recomputed at every step. Only the prompt is cached, as in the release. The loop uses
the network in ``model/``, but nothing from ``model/fast``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from inspect import signature
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Model
from transformers.cache_utils import DynamicCache

from harmon_eval.model.diffusion import sampling_schedule
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.llm import Qwen2, counted_positions
from harmon_eval.model.mar import Grid
from harmon_eval.model.masking import hidden_counts, visible_places
from harmon_eval.model.sampling import DrawSettings, Noise

Clock = Callable[[], float]
# The name of the cache argument differs between the supported versions of transformers.
CACHE = "cache" if "cache" in signature(Qwen2Model.forward).parameters else "past_key_values"


class Shares:
    """Seconds spent in each part of image generation."""

    def __init__(self, clock: Clock = time.process_time) -> None:
        self.clock = clock
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[part] += self.clock() - start


@lru_cache(maxsize=1)
def in_transformers(llm: Qwen2) -> Qwen2ForCausalLM:
    """The same network with the same weights, not copied, as transformers computes it. Made once:
    call it before timing."""
    sizes = asdict(llm.config)
    rope = {"rope_type": "default", "rope_theta": sizes.pop("rope_theta")}
    theirs = Qwen2ForCausalLM(Qwen2Config(**sizes, rope_parameters=rope))
    theirs.load_state_dict(llm.state_dict(), assign=True)
    theirs.tie_weights()
    return theirs.eval().to(llm.lm_head.weight.device)  # its rotary buffers too


def join(
    model: Harmon, llm: Qwen2Model, x: Tensor, z: Tensor, mask: Tensor, cache: DynamicCache
) -> Tensor:
    """Run the LLM after the cached prompts (mask (R, T)) and project back: (R, K + V, D)."""
    full = F.pad(mask, (0, z.shape[1]), value=1)
    hidden = llm(
        inputs_embeds=z,
        attention_mask=full,
        position_ids=counted_positions(full)[:, -z.shape[1] :],
        use_cache=True,
        **{CACHE: cache},
    ).last_hidden_state
    cache.crop(-z.shape[1])
    return model.joined(x, hidden)


def diffuse(
    model: Harmon, z: Tensor, noise: Tensor, steps: Tensor, scale: float, temperature: float
) -> Tensor:
    """Tokens (R, C) from conditions (R, D). With guidance, the second half is computed as well."""
    schedule = sampling_schedule(
        len(steps), model.config.head.train_steps, model.config.head.max_beta
    )
    from_xt, from_predicted = schedule.x0_factors(model.config.head.prediction)
    channels, guided = noise.shape[1], len(z) != len(noise)
    x = torch.cat([noise, noise]) if guided else noise
    for step, i in enumerate(reversed(range(len(steps)))):
        t = torch.full((len(x),), int(schedule.steps[i]), device=x.device)
        seen = torch.cat([x[: len(noise)]] * 2) if guided else x
        predicted, variance = model.head(seen.to(z.dtype), t, z).split(channels, dim=1)
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
def release_draw(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    orders: Tensor,
    noise: Noise,
    grid: Grid,
    settings: DrawSettings,
    shares: Shares | None = None,
) -> Tensor:
    """Latents (B, m, n, C) for prompts as in ``mar_iterations``. They are also decoded, for the
    timing."""
    shares = shares or Shares()
    copies = len(input_ids) // len(orders)
    llm = in_transformers(model.llm).model
    orders = orders.repeat(copies, 1)
    length = orders.shape[1]
    with shares.of("LLM"):
        cache = DynamicCache(config=llm.config)
        llm(input_ids, use_cache=True, **{CACHE: cache})
    tokens = torch.zeros(len(orders), length, model.config.vae.channels, device=orders.device)
    mask = torch.ones_like(orders, dtype=torch.bool)
    for k, (hidden, left) in enumerate(pairwise(hidden_counts(length, settings.iterations))):
        if hidden == left:
            continue
        positions, visible = model.mar.positions(grid), visible_places(mask)
        with shares.of("encoder"):
            x, z_enc = model.see(tokens.to(model.dtype), visible, positions)
        with shares.of("LLM"):
            x = join(model, llm, x, z_enc, attention_mask, cache)
        with shares.of("decoder"):
            z = model.mar.decode(x, visible, positions)
        after = torch.zeros_like(mask).scatter(1, orders[:, :left], True)
        now = mask & ~after
        noise_init, noise_steps = noise(k)
        with shares.of("head"):
            drawn = diffuse(
                model,
                z[now],
                noise_init,
                noise_steps,
                scale=settings.scale(left, length),
                temperature=settings.temperature,
            )
        tokens[now] = drawn
        tokens[len(tokens) // copies :] = tokens[: len(tokens) // copies].repeat(copies - 1, 1, 1)
        mask = after
    latents = tokens.unflatten(1, grid)
    with shares.of("VAE"):
        model.vae.decode(latents.to(model.dtype))
    return latents[: len(latents) // copies]
