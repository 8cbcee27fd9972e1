"""Deterministic solvers of the head's probability-flow equation, which need fewer diffusion steps.

Both turn noise x (N, C) into tokens along the kept steps of a schedule, without adding noise. Like
``ancestral_steps``, they yield x_{t-1} and the predicted x_0 of every step, each (N, C). Nothing is
clipped. The learned variance is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from harmon_eval.model.diffusion import Denoise, Schedule, ancestral_steps

SOLVERS = ("ancestral", "ddim", "dpm-solver++")


def solver_steps(
    solver: str,
    denoise: Denoise,
    noise_init: Tensor,
    noise_steps: Tensor,
    schedule: Schedule,
    temperature: float = 1.0,
    prediction: str = "noise",
) -> Iterator[tuple[Tensor, Tensor]]:
    """The steps of the solver with this name. Only ``ancestral`` uses ``noise_steps`` and
    ``temperature``. Raises ValueError for an unknown name."""
    if solver == "ancestral":
        return ancestral_steps(denoise, noise_init, noise_steps, schedule, temperature, prediction)
    if solver == "ddim":
        return ddim_steps(denoise, noise_init, schedule, prediction)
    if solver == "dpm-solver++":
        return dpm_solver_steps(denoise, noise_init, schedule, prediction)
    raise ValueError(f"the solver must be one of {', '.join(SOLVERS)}, not {solver!r}")


def ddim_steps(
    denoise: Denoise, x: Tensor, schedule: Schedule, prediction: str = "noise"
) -> Iterator[tuple[Tensor, Tensor]]:
    """DDIM with eta = 0 (Song et al. 2021, arXiv 2010.02502, equation 12)."""
    from_xt, from_predicted = (factors.tolist() for factors in schedule.x0_factors(prediction))
    kept, before = schedule.alphas_cumprod.tolist(), schedule.alphas_cumprod_before.tolist()
    for i in reversed(range(len(schedule.steps))):
        x0 = from_xt[i] * x - from_predicted[i] * denoise(x, i)[0]
        ratio = math.sqrt((1 - before[i]) / (1 - kept[i]))
        x = ratio * x + (math.sqrt(before[i]) - ratio * math.sqrt(kept[i])) * x0
        yield x, x0


def dpm_solver_steps(
    denoise: Denoise, x: Tensor, schedule: Schedule, prediction: str = "noise"
) -> Iterator[tuple[Tensor, Tensor]]:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2), predicting x_0.

    The first step, and the last step (to zero noise), are first-order DDIM steps."""
    from_xt, from_predicted = (factors.tolist() for factors in schedule.x0_factors(prediction))
    kept, before = schedule.alphas_cumprod.tolist(), schedule.alphas_cumprod_before.tolist()
    half_log_snr = (np.log(schedule.alphas_cumprod / (1 - schedule.alphas_cumprod)) / 2).tolist()
    last: Tensor | None = None
    for i in reversed(range(len(schedule.steps))):
        x0 = from_xt[i] * x - from_predicted[i] * denoise(x, i)[0]
        target = x0
        if last is not None and i > 0:
            step = half_log_snr[i - 1] - half_log_snr[i]
            weight = step / (half_log_snr[i] - half_log_snr[i + 1]) / 2
            target = (1 + weight) * x0 - weight * last
        ratio = math.sqrt((1 - before[i]) / (1 - kept[i]))
        x = ratio * x + (math.sqrt(before[i]) - ratio * math.sqrt(kept[i])) * target
        last = x0
        yield x, x0
