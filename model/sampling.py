"""Drawing: MAR sampling with classifier-free guidance, one random stream a sample.

B pictures, L tokens of a grid m x n, C channels, S diffusion steps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from harmon_eval.model.diffusion import sampling_schedule
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.llm import prefill
from harmon_eval.model.mar import Grid
from harmon_eval.model.masking import hidden_counts

CFG_SCHEDULES = ("constant", "linear")
Noise = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DrawSettings:
    """How to draw. Defaults are the published ones (512 px, 64 iterations, CFG scale 3).

    ``iterations`` of the MAR loop, ``diffusion_steps`` of the head for each token, ``temperature``
    of the noise added in these steps, ``image_size`` in pixels (None: the model's own) or (height,
    width). Raises ValueError on impossible values."""

    cfg_scale: float = 3.0
    iterations: int = 64
    diffusion_steps: int = 100
    temperature: float = 1.0
    image_size: int | tuple[int, int] | None = None
    cfg_schedule: str = "constant"

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, not {self.iterations}")
        if not 1 <= self.diffusion_steps <= 1000:
            raise ValueError(f"diffusion steps must lie in 1..1000, not {self.diffusion_steps}")
        if not (math.isfinite(self.cfg_scale) and self.cfg_scale >= 0):
            raise ValueError(f"the CFG scale must be a finite number >= 0, not {self.cfg_scale}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"the temperature must be finite and >= 0, not {self.temperature}")
        if self.cfg_schedule not in CFG_SCHEDULES:
            raise ValueError(
                f"the CFG schedule must be one of {', '.join(CFG_SCHEDULES)}, "
                f"not {self.cfg_schedule!r}"
            )

    def grid(self, model: Harmon) -> Grid:
        """Token grid (m, n). Raises ValueError unless the VAE's stride divides both sides."""
        size = model.config.image_size if self.image_size is None else self.image_size
        height, width = (size, size) if isinstance(size, int) else size
        stride = model.config.vae.stride
        if height < 1 or width < 1 or height % stride or width % stride:
            raise ValueError(f"image size {height}x{width} must be a multiple of {stride} pixels")
        return height // stride, width // stride


def draw_orders_and_noise(
    seeds: Sequence[int], grid: Grid, channels: int, settings: DrawSettings, device: torch.device
) -> tuple[Tensor, Noise]:
    """Orders (B, L) and the noise of every iteration, sample i from a generator of seeds[i] alone.

    Generators live on the CPU, so that a seed gives the same numbers on every device."""
    tokens = grid[0] * grid[1]
    counts = hidden_counts(tokens, settings.iterations)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    orders = torch.stack([torch.randperm(tokens, generator=g) for g in generators])

    def noise(iteration: int) -> tuple[Tensor, Tensor]:
        count = counts[iteration] - counts[iteration + 1]
        shape = (settings.diffusion_steps + 1, count, channels)
        drawn = torch.cat([torch.randn(shape, generator=g) for g in generators], dim=1).to(device)
        return drawn[0], drawn[1:]

    return orders.to(device), noise


@dataclass(frozen=True)
class Iteration:
    """What one iteration of the MAR loop did. With guidance, x_enc and z hold 2B rows: conditional,
    then unconditional."""

    visible: Tensor  # (B, V) places read, in raster order
    places: Tensor  # (B, P) places drawn, in raster order
    x_enc: Tensor  # (B, K + V, D) encoder output after the LLM
    z: Tensor  # (B, L, D) condition of every token
    cfg_scale: float
    drawn: Tensor  # (B, P, C)
    tokens: Tensor  # (B, L, C) so far, zeros where hidden


@torch.inference_mode()
def mar_iterations(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    orders: Tensor,
    noise: Noise,
    grid: Grid,
    settings: DrawSettings,
) -> Iterator[Iteration]:
    """The sampling loop of MAR (Li et al. 2024) with Harmon's LLM between encoder and decoder.

    Right-padded prompts (B, T), or with guidance (2B, T): conditional rows, then unconditional.
    ``orders`` (B, L): tokens are drawn from the end of the order to its start. ``noise(k)`` gives
    the initial (B*P, C) and step (S, B*P, C) noise of iteration k, rows in (sample, place) order.
    The MAR encoder does not see the prompt, so both halves share its output. An iteration with
    nothing to draw (more iterations than tokens) does not happen.
    """
    batch, length = orders.shape
    copies = 1 if settings.cfg_scale == 1.0 else 2
    if len(input_ids) != copies * batch:
        raise ValueError(
            f"{batch} pictures at CFG scale {settings.cfg_scale:g} need {copies * batch} prompts, "
            f"not {len(input_ids)}"
        )
    schedule = sampling_schedule(settings.diffusion_steps, model.config.head.train_steps)
    times = model.head.step_embeddings(schedule)
    positions = model.mar.positions(grid)
    cache = prefill(model.llm, input_ids)
    counts = hidden_counts(length, settings.iterations)
    tokens = torch.zeros(batch, length, model.config.vae.channels, device=orders.device)
    for k, (hidden, hidden_next) in enumerate(pairwise(counts)):
        if hidden == hidden_next:
            continue
        visible = orders[:, hidden:].sort(dim=1).values
        places = orders[:, hidden_next:hidden].sort(dim=1).values
        x_enc, z_enc = model.see(tokens.to(model.dtype), visible, positions)
        x = model.join(
            x_enc.repeat(copies, 1, 1), z_enc.repeat(copies, 1, 1), attention_mask, cache
        )
        z = model.mar.decode(x, visible.repeat(copies, 1), positions)
        rows = places.repeat(copies, 1)[..., None].expand(-1, -1, z.shape[-1])
        scale = _cfg_scale(settings, hidden_next, length)
        drawn = model.head.sample(
            z.gather(1, rows).flatten(0, 1), *noise(k), schedule, times, scale, settings.temperature
        ).unflatten(0, places.shape)
        tokens = tokens.scatter(1, places[..., None].expand_as(drawn), drawn)
        yield Iteration(visible, places, x, z, scale, drawn, tokens)


def _cfg_scale(settings: DrawSettings, hidden_next: int, length: int) -> float:
    if settings.cfg_schedule == "constant":
        return settings.cfg_scale
    # The last iteration still counts one token as hidden, so full scale is never reached.
    return 1 + (settings.cfg_scale - 1) * (length - max(hidden_next, 1)) / length


def draw_latents(
    model: Harmon,
    input_ids: Tensor,
    attention_mask: Tensor,
    seeds: Sequence[int],
    settings: DrawSettings,
) -> Tensor:
    """Latents (B, m, n, C), float32, of right-padded prompts (B, T), or with guidance (2B, T):
    conditional rows, then unconditional.

    Sample i depends on its prompt and ``seeds[i]`` only, not on its batch. Raises ValueError when
    prompts and seeds do not match."""
    grid = settings.grid(model)
    orders, noise = draw_orders_and_noise(
        seeds, grid, model.config.vae.channels, settings, model.device
    )
    loop = mar_iterations(model, input_ids, attention_mask, orders, noise, grid, settings)
    (last,) = deque(loop, maxlen=1)
    return last.tokens.unflatten(1, grid)
