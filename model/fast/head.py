"""The diffusion head in the sampling loop: what does not change from step to step is computed once.

Rows N, channels C, condition width D, head width W, steps S.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from harmon_eval.model.diffusion import Denoise, Schedule
from harmon_eval.model.head import DiffusionHead
from harmon_eval.model.solvers import solver_steps

MODULATION_FLOATS = 2**24  # kept at once while sampling: 64 MiB in float32


def step_embeddings(head: DiffusionHead, schedule: Schedule) -> Tensor:
    """Time embeddings (S, W) of a schedule: constants of the model, computed once a drawing."""
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
    """Draw tokens (N, C) given their conditions: see ``denoiser`` and ``solver_steps``."""
    guided = len(z) != len(noise_init)
    steps = solver_steps(
        solver,
        denoiser(head, z, times, cfg_scale, guided),
        noise_init,
        noise_steps,
        schedule,
        temperature,
        head.config.prediction,
    )
    ((sample, _),) = deque(steps, maxlen=1)
    return sample


def denoiser(
    head: DiffusionHead, z: Tensor, times: Tensor, cfg_scale: float | Tensor, guided: bool
) -> Denoise:
    """The network as a function of x (N, C) and step i only, time embeddings ``times`` (S, W).

    ``z`` is (N, D), or with guidance (2N, D): conditional rows, then unconditional ones. Both
    share one diffusion state: only the conditional one is ever read. The prediction is guided,
    the variance is the conditional row's.
    """
    modulations = _modulations_by_step(head, head.cond_embed(z), times)

    def denoise(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        x = x.to(z.dtype)
        output = head.denoise(torch.cat([x, x]) if guided else x, modulations(i))
        predicted, variance = output[: len(x)].chunk(2, dim=1)  # each (N, C)
        if not guided:
            return predicted, variance
        without = output[len(x) :, : x.shape[1]]
        return without + cfg_scale * (predicted - without), variance

    return denoise


def _modulations_by_step(
    head: DiffusionHead, condition: Tensor, times: Tensor
) -> Callable[[int], list[Tensor]]:
    """Modulations of step i, steps counted downwards, made for many steps in one product.

    With few rows a step costs the reading of weights, and most of them are these layers'."""
    floats = len(condition) * (3 * len(head.res_blocks) + 2) * times.shape[1]
    chunk = max(1, MODULATION_FLOATS // max(1, floats))
    ready: list[Tensor] = []
    first = len(times)

    def at(i: int) -> list[Tensor]:
        nonlocal ready, first
        if not first <= i < first + chunk:
            first = max(0, i + 1 - chunk)
            ready = head.modulations(times[first : i + 1, None] + condition)
        return [part[i - first] for part in ready]

    return at
