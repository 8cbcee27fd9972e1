"""The diffusion head in the sampling loop: values that are the same in all steps are computed once.

Shapes use N rows, C channels, condition width D, head width W and S steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from harmon_eval.model.diffusion import Denoise, Schedule
from harmon_eval.model.head import DiffusionHead
from harmon_eval.model.solvers import solver_steps

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
    """The network as a function of x (N, C) and step i. ``times`` (S, W) are the time embeddings.

    ``z`` is (N, D), or (2N, D) with guidance: conditional rows, then unconditional ones. Both
    share one diffusion state, because only the conditional one is ever read. The prediction is
    guided; the variance comes from the conditional row.
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
    """A function that gives the modulations of step i, for steps in descending order.

    One product computes them for many steps: with few rows, a step mainly costs the reading of
    weights, and most weights belong to these layers."""
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
