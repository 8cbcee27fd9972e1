"""Drawing: MAR sampling with classifier-free guidance, one random stream a sample.

B pictures, L tokens of a grid m x n, C channels, S diffusion steps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import Grid
from harmon_eval.model.masking import hidden_counts
from harmon_eval.model.solvers import SOLVERS

CFG_SCHEDULES = ("constant", "linear")
Noise = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DrawSettings:
    """How to draw. Defaults are the published ones (512 px, 64 iterations, CFG scale 3).

    ``iterations`` of the MAR loop, ``diffusion_steps`` of the head for each token, ``temperature``
    of the noise added in these steps, ``image_size`` in pixels (None: the model's own) or (height,
    width). Two settings buy speed and cost quality: ``solver`` of the head (``ddim`` and
    ``dpm-solver++`` need fewer steps), and ``guidance``, the part of the iterations that runs the
    unconditional half (Kynkäänniemi et al. 2024, arXiv 2404.07724): iteration k of K is guided
    where start <= k/K < stop. Raises ValueError on impossible values."""

    cfg_scale: float = 3.0
    iterations: int = 64
    diffusion_steps: int = 100
    temperature: float = 1.0
    image_size: int | tuple[int, int] | None = None
    cfg_schedule: str = "constant"
    solver: str = "ancestral"
    guidance: tuple[float, float] = (0.0, 1.0)

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
        if self.solver not in SOLVERS:
            raise ValueError(f"the solver must be one of {', '.join(SOLVERS)}, not {self.solver!r}")
        if self.solver != "ancestral" and self.temperature != 1:
            raise ValueError(
                f"{self.solver} adds no noise, so its temperature is 1: for another, take the "
                "solver ancestral"
            )
        if not 0 <= self.guidance[0] <= self.guidance[1] <= 1:
            start, stop = self.guidance
            raise ValueError(f"guidance must span a part of 0..1, not {start:g}..{stop:g}")

    def guided(self, iteration: int) -> bool:
        """Whether an iteration runs the unconditional half."""
        start, stop = self.guidance
        return self.cfg_scale != 1.0 and start <= iteration / self.iterations < stop

    def grid(self, model: Harmon) -> Grid:
        """Token grid (m, n). Raises ValueError unless the VAE's stride divides both sides."""
        size = model.config.image_size if self.image_size is None else self.image_size
        height, width = (size, size) if isinstance(size, int) else size
        stride = model.config.vae.stride
        if height < 1 or width < 1 or height % stride or width % stride:
            raise ValueError(f"image size {height}x{width} must be a multiple of {stride} pixels")
        return height // stride, width // stride


@dataclass(frozen=True)
class Cheaper:
    """What speed is bought with: shares of a model's own iterations and diffusion steps, another
    solver, guidance in a part of the iterations (None: the model's own)."""

    iterations: float = 1.0
    diffusion_steps: float = 1.0
    solver: str | None = None
    guidance: tuple[float, float] | None = None

    def than(self, own: DrawSettings) -> DrawSettings:
        """The model's own settings, made cheaper. Raises ValueError where they do not allow it."""
        return replace(
            own,
            iterations=max(1, round(self.iterations * own.iterations)),
            diffusion_steps=max(1, round(self.diffusion_steps * own.diffusion_steps)),
            solver=self.solver or own.solver,
            guidance=self.guidance or own.guidance,
        )


# The cheapest without evidence of loss by ``benchmarks.pareto``: see docs/speed.md.
FAST = Cheaper(iterations=0.75, diffusion_steps=0.25, solver="ddim")


def draw_orders_and_noise(
    seeds: Sequence[int], grid: Grid, channels: int, settings: DrawSettings, device: torch.device
) -> tuple[Tensor, Noise]:
    """Orders (B, L) and the noise of every iteration, sample i from a generator of seeds[i] alone.

    Generators live on the CPU, so that a seed gives the same numbers on every device."""
    tokens = grid[0] * grid[1]
    counts = hidden_counts(tokens, settings.iterations)
    draws = 1 + (settings.diffusion_steps if settings.solver == "ancestral" else 0)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    orders = torch.stack([torch.randperm(tokens, generator=g) for g in generators])

    def noise(iteration: int) -> tuple[Tensor, Tensor]:
        count = counts[iteration] - counts[iteration + 1]
        shape = (draws, count, channels)
        drawn = torch.cat([torch.randn(shape, generator=g) for g in generators], dim=1)
        if device.type == "cuda":  # from pinned memory, a copy does not wait for the device
            drawn = drawn.pin_memory().to(device, non_blocking=True)
        drawn = drawn.to(device)
        return drawn[0], drawn[1:]

    return orders.to(device), noise


@dataclass(frozen=True)
class Iteration:
    """What one iteration of the MAR loop did. Where it was guided, x_enc and z hold 2B rows:
    conditional, then unconditional."""

    visible: Tensor  # (B, V) places read, in raster order
    places: Tensor  # (B, P) places drawn, in raster order
    x_enc: Tensor  # (B, K + V, D) encoder output after the LLM
    z: Tensor  # (B, P, D) condition of the tokens drawn
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
    passes: Passes | None = None,
) -> Iterator[Iteration]:
    """The sampling loop of MAR (Li et al. 2024) with Harmon's LLM between encoder and decoder.

    Right-padded prompts (B, T), or with guidance (2B, T): conditional rows, then unconditional.
    ``orders`` (B, L): tokens are drawn from the end of the order to its start. ``noise(k)`` gives
    the initial (B*P, C) and step (S, B*P, C) noise of iteration k, rows in (sample, place) order.
    The MAR encoder does not see the prompt, so both halves share its output. An iteration with
    nothing to draw (more iterations than tokens) does not happen. ``passes`` may be kept from
    drawing to drawing with the same model, settings and grid.
    """
    batch, length = orders.shape
    copies = 1 if settings.cfg_scale == 1.0 else 2
    if len(input_ids) != copies * batch:
        raise ValueError(
            f"{batch} pictures at CFG scale {settings.cfg_scale:g} need {copies * batch} prompts, "
            f"not {len(input_ids)}"
        )
    passes = passes or Passes(model, settings, grid)
    input_ids, attention_mask = passes.padded(input_ids, attention_mask)
    both = passes.prompts(input_ids, attention_mask, batch)
    conditional = both.rows(slice(batch))
    counts = hidden_counts(length, settings.iterations)
    tokens = torch.zeros(batch, length, model.config.vae.channels, device=orders.device)
    for k, (hidden, hidden_next) in enumerate(pairwise(counts)):
        if hidden == hidden_next:
            continue
        visible = orders[:, hidden:].sort(dim=1).values
        places = orders[:, hidden_next:hidden].sort(dim=1).values
        guided = settings.guided(k)
        prompt = (attention_mask, both) if guided else (attention_mask[:batch], conditional)
        x, z = passes.condition(tokens, visible, places, *prompt)
        scale = _cfg_scale(settings, hidden_next, length) if guided else 1.0
        drawn = passes.draw(z.flatten(0, 1), *noise(k), scale).unflatten(0, places.shape)
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
    passes: Passes | None = None,
) -> Tensor:
    """Latents (B, m, n, C), float32, of right-padded prompts (B, T), or with guidance (2B, T):
    conditional rows, then unconditional.

    Sample i depends on its prompt and ``seeds[i]`` only, not on its batch. Raises ValueError when
    prompts and seeds do not match."""
    grid = settings.grid(model)
    orders, noise = draw_orders_and_noise(
        seeds, grid, model.config.vae.channels, settings, model.device
    )
    loop = mar_iterations(model, input_ids, attention_mask, orders, noise, grid, settings, passes)
    (last,) = deque(loop, maxlen=1)
    return last.tokens.unflatten(1, grid)
