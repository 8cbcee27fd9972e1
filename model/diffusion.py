"""Gaussian diffusion of single tokens: schedule, training loss, ancestral sampling.

Improved DDPM (Nichol & Dhariwal 2021, arXiv 2102.09672): cosine schedule, noise prediction, learned
variance, respaced sampling. Optionally velocity prediction (Salimans & Ho 2022, arXiv 2202.00512).
Shapes use N tokens and C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Denoise = Callable[[Tensor, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Schedule:
    """Coefficients of a (respaced) noise schedule, float64, one entry per step.

    ``steps`` holds the step number in the training schedule for each entry."""

    steps: np.ndarray
    betas: np.ndarray
    alphas_cumprod: np.ndarray

    @cached_property
    def alphas_cumprod_before(self) -> np.ndarray:
        return np.append(1.0, self.alphas_cumprod[:-1])

    def x0_factors(self, prediction: str) -> tuple[np.ndarray, np.ndarray]:
        """Factors a, b in x_0 = a * x_t - b * (predicted noise or velocity)."""
        keep, add = self.alphas_cumprod, 1.0 - self.alphas_cumprod
        if prediction == "velocity":
            return np.sqrt(keep), np.sqrt(add)
        return np.sqrt(1.0 / keep), np.sqrt(add / keep)

    @cached_property
    def posterior_log_variance(self) -> np.ndarray:
        """Log-variance of q(x_{t-1} | x_t, x_0). The first variance is 0, so the first entry
        repeats the second."""
        variance = self.betas * (1.0 - self.alphas_cumprod_before) / (1.0 - self.alphas_cumprod)
        return np.log(np.append(variance[1] if len(variance) > 1 else self.betas[0], variance[1:]))

    @cached_property
    def posterior_mean_x0(self) -> np.ndarray:
        before = self.alphas_cumprod_before
        return self.betas * np.sqrt(before) / (1.0 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_xt(self) -> np.ndarray:
        before = self.alphas_cumprod_before
        return (1.0 - before) * np.sqrt(1.0 - self.betas) / (1.0 - self.alphas_cumprod)


@lru_cache
def training_schedule(steps: int = 1000, max_beta: float = 0.999) -> Schedule:
    """Cosine: alpha_bar(t) = cos^2((t + 0.008) / 1.008 * pi / 2), each beta at most ``max_beta``
    (0.999; UniPic-1: 0.2)."""

    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = np.array(
        [min(1 - alpha_bar((i + 1) / steps) / alpha_bar(i / steps), max_beta) for i in range(steps)]
    )
    return Schedule(np.arange(steps), betas, np.cumprod(1.0 - betas))


@lru_cache
def sampling_schedule(
    steps: int,
    train_steps: int = 1000,
    max_beta: float = 0.999,
    last_step: int | None = None,
    spacing: str = "linspace",
) -> Schedule:
    """Keep ``steps`` evenly spaced steps of the training schedule, from the first to the last. With
    the spacing ``trailing``, they are the ends of as many equal parts (Lin et al. 2024, arXiv
    2305.08891), up to ``last_step``: at the first, hardly any noise is left to remove.

    Steps above ``last_step`` are replaced by it and doublets dropped (DiSA, arXiv 2505.20297:
    950), so the chain starts from pure noise where the schedule still expects some signal. Betas
    follow from the kept cumulative products and are not capped again. Raises ValueError unless
    ``steps`` is in 1..train_steps.
    """
    if not 1 <= steps <= train_steps:
        raise ValueError(f"diffusion steps must be in 1..{train_steps}, not {steps}")
    if spacing == "trailing":
        end = train_steps if last_step is None else min(train_steps, last_step + 1)
        kept = [max(0, round(end * (k + 1) / steps) - 1) for k in range(steps)]
    else:
        stride = (train_steps - 1) / (steps - 1) if steps > 1 else 0.0
        kept, place = [], 0.0
        for _ in range(steps):
            kept.append(round(place))
            place += stride
    if last_step is not None:
        kept = sorted({min(step, last_step) for step in kept})
    alphas_cumprod = training_schedule(train_steps, max_beta).alphas_cumprod[kept]
    betas = 1.0 - alphas_cumprod / np.append(1.0, alphas_cumprod[:-1])
    return Schedule(np.array(kept), betas, alphas_cumprod)


def add_noise(x0: Tensor, noise: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """x_t (N, C) = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise, at steps ``t`` (N,)."""
    keep = at_steps(np.sqrt(schedule.alphas_cumprod), t)
    add = at_steps(np.sqrt(1.0 - schedule.alphas_cumprod), t)
    return keep * x0 + add * noise


def velocity(x0: Tensor, noise: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """v (N, C) = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x_0, at steps ``t`` (N,)."""
    return add_noise(noise, -x0, t, schedule)


def diffusion_loss_terms(
    output: Tensor,
    x0: Tensor,
    xt: Tensor,
    noise: Tensor,
    t: Tensor,
    schedule: Schedule,
    prediction: str = "noise",
) -> tuple[Tensor, Tensor]:
    """Squared error of the prediction and variational bound (bits per dimension), each (N,).

    ``output`` (N, 2C) holds the head's predicted noise or velocity, and its variance values, at
    ``xt`` (N, C)."""
    predicted, variance = output.chunk(2, dim=1)
    target = noise if prediction == "noise" else velocity(x0, noise, t, schedule)
    mse = (predicted - target).square().mean(dim=1)
    from_xt, from_predicted = schedule.x0_factors(prediction)
    # The bound trains only the variance; the mean is learnt better from the squared error.
    predicted_x0 = at_steps(from_xt, t) * xt - at_steps(from_predicted, t) * predicted.detach()
    return mse, _variational_bound(predicted_x0, variance, x0, xt, t, schedule)


def _variational_bound(
    predicted_x0: Tensor, variance: Tensor, x0: Tensor, xt: Tensor, t: Tensor, s: Schedule
) -> Tensor:
    scale_x0, scale_xt = at_steps(s.posterior_mean_x0, t), at_steps(s.posterior_mean_xt, t)
    posterior_log_variance = at_steps(s.posterior_log_variance, t)
    fraction = (variance + 1) / 2
    log_variance = fraction * at_steps(np.log(s.betas), t) + (1 - fraction) * posterior_log_variance
    true_mean = scale_x0 * x0 + scale_xt * xt
    mean = scale_x0 * predicted_x0 + scale_xt * xt
    kl = 0.5 * (
        log_variance
        - posterior_log_variance
        - 1.0
        + torch.exp(posterior_log_variance - log_variance)
        + (true_mean - mean).square() * torch.exp(-log_variance)
    )
    likelihood = _discretised_log_likelihood(x0, mean, 0.5 * log_variance)
    bits = torch.where((t == 0)[:, None], -likelihood, kl) / math.log(2.0)
    return bits.mean(dim=1)


def _discretised_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-probability of x under a Gaussian in bins of half-width 1/255; the end bins are open."""

    def cdf(z: Tensor) -> Tensor:
        return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))

    centred, inverse_scale = x - mean, torch.exp(-log_scale)
    upper = cdf(inverse_scale * (centred + 1.0 / 255.0))
    lower = cdf(inverse_scale * (centred - 1.0 / 255.0))
    inside = torch.where(x > 0.999, 1.0 - lower, upper - lower)
    return torch.where(x < -0.999, upper, inside).clamp(min=1e-12).log()


def ancestral_steps(
    denoise: Denoise,
    noise_init: Tensor,
    noise_steps: Tensor,
    schedule: Schedule,
    temperature: float = 1.0,
    prediction: str = "noise",
) -> Iterator[tuple[Tensor, Tensor]]:
    """DDPM ancestral sampling (Ho et al. 2020) with learned variance, from noise (N, C) to tokens.

    Yields x_{t-1} and the predicted x_0, each (N, C), for every step; the last x is the sample.
    ``denoise(x, i)`` returns guided noise or velocity, and variance values, each (N, C), at entry i
    of the schedule. ``noise_steps`` (S, N, C) is added in the order of execution and scaled by
    ``temperature``. The last step adds no noise. The initial noise is not scaled. Nothing is
    clipped.
    """
    s = schedule
    from_xt, from_predicted = (factors.tolist() for factors in s.x0_factors(prediction))
    scale_x0, scale_xt = s.posterior_mean_x0.tolist(), s.posterior_mean_xt.tolist()
    low, high = s.posterior_log_variance.tolist(), np.log(s.betas).tolist()
    x = noise_init
    for k, i in enumerate(reversed(range(len(s.steps)))):
        predicted, variance = denoise(x, i)
        x0 = from_xt[i] * x - from_predicted[i] * predicted
        mean = scale_x0[i] * x0 + scale_xt[i] * x
        if i == 0:
            yield mean, x0
            return
        fraction = (variance + 1) / 2
        log_variance = fraction * high[i] + (1 - fraction) * low[i]
        x = mean + temperature * torch.exp(0.5 * log_variance) * noise_steps[k]
        yield x, x0


def at_steps(values: np.ndarray, t: Tensor) -> Tensor:
    """Entries of a float64 table at steps t (N,), as float32 (N, 1)."""
    return F.embedding(t, torch.from_numpy(values).float().to(t.device)[:, None])
