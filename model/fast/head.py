"""The diffusion head in the sampling loop: values that are the same in all steps are computed once.

Shapes use N rows, C channels, condition width D, head width W and S steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmon_eval.model.diffusion import Denoise, Schedule
from harmon_eval.model.fast.rows import block_to_fill, silu
from harmon_eval.model.head import FINAL_EPS, Block, DiffusionHead
from harmon_eval.model.solvers import solver_steps

# Shift and 1 + scale of a layer, and the gate of a block: each (N, W).
Modulation = tuple[Tensor, ...]
MODULATION_FLOATS = 2**24  # at most this many are kept while sampling: 64 MiB in float32


def step_embeddings(head: DiffusionHead, schedule: Schedule) -> Tensor:
    """Time embeddings (S, W) of a schedule. They depend only on the model, so compute them once."""
    return head.time_embed(torch.as_tensor(schedule.steps, device=head.cond_embed.weight.device))


def sample(
    head: DiffusionHead,
    z: Tensor,
    noise_init: Tensor,
    noise_steps: Tensor,
    schedule: Schedule,
    times: Tensor,
    cfg_scale: float | Tensor = 1.0,
    temperature: float = 1.0,
    solver: str = "ancestral",
) -> Tensor:
    """Generate tokens (N, C) given their conditions: see ``denoiser`` and ``solver_steps``."""
    denoise = denoiser(head, z, times, cfg_scale, guided=len(z) != len(noise_init))
    given = denoise, noise_init, noise_steps, schedule, temperature, head.config.prediction
    if solver == "ancestral":
        return ancestral(*given)
    ((sample, _),) = deque(solver_steps(solver, *given), maxlen=1)
    return sample


def ancestral(
    denoise: Denoise,
    x: Tensor,
    noise_steps: Tensor,
    schedule: Schedule,
    temperature: float,
    prediction: str,
) -> Tensor:
    """The last of ``diffusion.ancestral_steps``, whose factors are multiplied out: few rows mainly
    cost the number of operations."""
    s, (from_xt, from_predicted) = schedule, schedule.x0_factors(prediction)
    of_x = (s.posterior_mean_x0 * from_xt + s.posterior_mean_xt).tolist()
    of_predicted = (-s.posterior_mean_x0 * from_predicted).tolist()
    low, high = s.posterior_log_variance / 4, np.log(s.betas) / 4  # the deviation is exp of half
    middle, half = (high + low).tolist(), (high - low).tolist()
    for k, i in enumerate(reversed(range(len(s.steps)))):
        predicted, variance = denoise(x, i)
        x = torch.add(of_x[i] * x, predicted, alpha=of_predicted[i])
        if i > 0:
            spread = torch.exp(half[i] * variance.float() + middle[i])
            x = torch.addcmul(x, spread, noise_steps[k], value=temperature)
    return x


def denoiser(
    head: DiffusionHead, z: Tensor, times: Tensor, cfg_scale: float | Tensor, guided: bool
) -> Denoise:
    """The network as a function of x (N, C) and step i. ``times`` (S, W) are the time embeddings.

    ``z`` is (N, D), or (2N, D) with guidance: conditional rows, then unconditional ones. Both
    share one diffusion state, because only the conditional one is ever read. The prediction is
    guided; the variance comes from the conditional row.
    """
    modulations = _modulations_by_step(head, head.cond_embed(z), times)
    network = _network(head, whole=block_to_fill(z) is None)

    def denoise(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        x = x.to(z.dtype)
        output = network(torch.cat([x, x]) if guided else x, modulations(i))
        predicted, variance = output[: len(x)].chunk(2, dim=1)  # each (N, C)
        if not guided:
            return predicted, variance
        without = output[len(x) :, : x.shape[1]]
        return without + cfg_scale * (predicted - without), variance

    return denoise


def _network(head: DiffusionHead, whole: bool) -> Callable[[Tensor, Sequence[Modulation]], Tensor]:
    """``head.denoise`` in few operations. With few rows the calls of layers cost as much as their
    arithmetic, so they are left out where the rows are ``whole`` blocks."""

    def product(layer: Any) -> Callable[[Tensor], Tensor]:
        return partial(F.linear, weight=layer.weight, bias=layer.bias) if whole else layer

    def normalised(layer: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
        sizes, weight, bias = layer.normalized_shape, layer.weight, layer.bias
        return lambda x: F.layer_norm(x, sizes, weight, bias, layer.eps)

    begin, end = product(head.input_proj), product(head.final_layer.linear)
    blocks = [
        (normalised(block.in_ln), product(block.mlp[0]), product(block.mlp[2]))
        for block in cast(Iterable[Block], head.res_blocks)
    ]

    def run(x: Tensor, modulations: Sequence[Modulation]) -> Tensor:
        x = begin(x)
        *of_blocks, (last_shift, last_scale) = modulations
        for (norm, first, second), (shift, scale, gate) in zip(blocks, of_blocks, strict=True):
            h = silu(first(torch.addcmul(shift, norm(x), scale)))
            x = torch.addcmul(x, gate, second(h))
        x = F.layer_norm(x, x.shape[-1:], eps=FINAL_EPS)
        return end(torch.addcmul(last_shift, x, last_scale))

    return run


def _modulations_by_step(
    head: DiffusionHead, condition: Tensor, times: Tensor
) -> Callable[[int], Sequence[Modulation]]:
    """A function that gives the head's modulations of step i, for steps in descending order.

    One product computes them for many steps: with few rows, a step mainly costs the reading of
    weights, and most weights belong to these layers."""
    floats = len(condition) * (3 * len(head.res_blocks) + 2) * times.shape[1]
    chunk = max(1, MODULATION_FLOATS // max(1, floats))
    ready: list[tuple[Modulation, ...]] = []
    first = len(times)

    def at(i: int) -> Sequence[Modulation]:
        nonlocal ready, first
        if not first <= i < first + chunk:
            first = max(0, i + 1 - chunk)
            layers = []
            for layer in head.modulations(times[first : i + 1, None] + condition):
                parts = layer.split(times.shape[1], dim=-1)
                parts = (parts[0], 1 + parts[1], *parts[2:])
                layers.append(zip(*(part.unbind() for part in parts), strict=True))
            ready = [*zip(*layers, strict=True)]
        return ready[i - first]

    return at
