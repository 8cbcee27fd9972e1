"""Settings for image generation, guidance per iteration, and one random stream for each sample.

The loop itself is in ``reference.py``, written for readers, and in ``fast/drawing.py``. Shapes use
B images, L tokens of a grid m x n, C channels and S diffusion steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harmon_eval.model.config import HarmonConfig, HeadConfig
from harmon_eval.model.diffusion import Schedule, sampling_schedule
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import Grid
from harmon_eval.model.masking import gtr_counts, gtr_stages, hidden_counts
from harmon_eval.model.solvers import SOLVERS

CFG_SCHEDULES = ("constant", "linear")
ANNEALINGS = ("linear", "cosine", "two-stage", "constant")
ORDERS = ("random", "gtr")
SPACINGS = ("linspace", "trailing")
CACHE_FROM = 5  # the first iteration that may use guidance again (LazyMAR)
# Settings that are named in the provenance where they are used.
SAVINGS = (
    *("annealing", "final_steps", "last_step", "spacing"),
    *("order", "cache", "adaptive_guidance"),
)
Noise = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DrawSettings:
    """How to generate images. The defaults are the published values (512 px, 64 iterations, CFG
    scale 3).

    ``iterations`` is the length of the MAR loop. ``diffusion_steps`` is the number of the head's
    steps for each token, and ``temperature`` scales the noise added in these steps. ``image_size``
    is in pixels, one number or (height, width); None means the model's own size.

    Two settings trade quality for speed. ``solver`` is the head's solver; ``ddim`` and
    ``dpm-solver++`` need fewer steps. ``guidance`` is the part of the iterations that uses guidance
    (Kynkäänniemi et al. 2024, arXiv 2404.07724): iteration k of K is guided if start <= k/K < stop.

    ``edit_cfg_scale`` is the CFG scale of edits; None means ``cfg_scale``. With ``edit_condition``
    the source also fills the decoder's hidden places, as UniPic-1 is trained; without, they hold
    mask tokens, as RecA is.

    The others are from papers on faster sampling, and off. ``annealing`` lowers the number of
    steps from ``diffusion_steps`` to ``final_steps`` over the iterations (DiSA, arXiv 2505.20297);
    ``last_step`` is the step from which the head starts (DiSA: 950). ``spacing`` of the head's
    steps is ``linspace``, from the first to the last, or ``trailing``, which spends none on the
    first (Lin et al. 2024, arXiv 2305.08891). ``order`` is ``random`` or ``gtr`` (generation then
    reconstruction, arXiv 2510.17171). With ``cache`` n, guidance is
    computed in the first five iterations and every n-th after them; in between, the last difference
    of the two conditions is used again (LazyMAR's condition cache, arXiv 2503.12450: 9). With
    ``adaptive_guidance`` c, an image is no longer guided once the cosine of its two conditions
    was at least c in an iteration (adaptive guidance, arXiv 2312.12487, on what the head reads).
    Raises ValueError for invalid values."""

    cfg_scale: float = 3.0
    iterations: int = 64
    diffusion_steps: int = 100
    temperature: float = 1.0
    image_size: int | tuple[int, int] | None = None
    cfg_schedule: str = "constant"
    solver: str = "ancestral"
    guidance: tuple[float, float] = (0.0, 1.0)
    edit_cfg_scale: float | None = None
    edit_condition: bool = True
    annealing: str | None = None
    final_steps: int | None = None
    last_step: int | None = None
    spacing: str = "linspace"
    order: str = "random"
    cache: int = 0
    adaptive_guidance: float | None = None

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, not {self.iterations}")
        if not 1 <= self.diffusion_steps <= 1000:
            raise ValueError(f"diffusion steps must be in 1..1000, not {self.diffusion_steps}")
        for scale in (self.cfg_scale, self.edit_cfg_scale or 0.0):
            if not (math.isfinite(scale) and scale >= 0):
                raise ValueError(f"the CFG scale must be a finite number >= 0, not {scale}")
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
                f"{self.solver} adds no noise, so its temperature must be 1: for another "
                "temperature, use the solver ancestral"
            )
        if not 0 <= self.guidance[0] <= self.guidance[1] <= 1:
            start, stop = self.guidance
            raise ValueError(f"guidance must be a part of 0..1, not {start:g}..{stop:g}")

        self._check_savings()

    def _check_savings(self) -> None:
        if self.annealing not in (None, *ANNEALINGS):
            raise ValueError(
                f"annealing must be one of {', '.join(ANNEALINGS)}, not {self.annealing!r}"
            )
        if (self.annealing is None) != (self.final_steps is None):
            raise ValueError("annealing and final_steps go together: give both, or neither")
        if self.final_steps is not None and not 1 <= self.final_steps <= self.diffusion_steps:
            raise ValueError(
                f"final_steps must be in 1..{self.diffusion_steps}, the diffusion steps, not "
                f"{self.final_steps}"
            )
        if self.last_step is not None and not 1 <= self.last_step <= 999:
            raise ValueError(f"last_step must be in 1..999, not {self.last_step}")
        if self.spacing not in SPACINGS:
            raise ValueError(
                f"the spacing must be one of {', '.join(SPACINGS)}, not {self.spacing!r}"
            )
        if self.order not in ORDERS:
            raise ValueError(f"the order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        if self.order == "gtr" and self.iterations < 3:
            raise ValueError(f"the order gtr needs at least 3 iterations, not {self.iterations}")
        if self.cache < 0:
            raise ValueError(f"cache must be at least 0, not {self.cache}")
        if self.adaptive_guidance is not None and not -1 <= self.adaptive_guidance <= 1:
            raise ValueError(
                f"adaptive_guidance is a cosine, in -1..1, not {self.adaptive_guidance}"
            )

    def steps_at(self, iteration: int) -> int:
        """The number of diffusion steps of an iteration, before ``last_step`` drops some (DiSA)."""
        most, least, last = self.diffusion_steps, self.final_steps, self.iterations - 1
        if least is None or self.annealing is None:
            return most
        if self.annealing == "constant":
            return least
        if last == 0:
            return most
        if self.annealing == "two-stage":
            return most if 2 * iteration < last else least
        if self.annealing == "linear":
            return least + (last - iteration) * (most - least) // last
        share = (1 + math.cos(math.pi * iteration / last)) / 2
        return least + math.floor(share * (most - least))

    def schedule(self, steps: int, head: HeadConfig) -> Schedule:
        """The head's schedule of so many steps."""
        return sampling_schedule(
            steps, head.train_steps, head.max_beta, self.last_step, self.spacing
        )

    def computes_guidance(self, iteration: int) -> bool:
        """Whether an iteration with guidance runs the unconditional half itself."""
        late = iteration - CACHE_FROM
        return not self.cache or late < 0 or late % self.cache == 0

    def counts(self, grid: Grid) -> list[int]:
        """Tokens hidden before each iteration, and 0 after the last."""
        if self.order == "gtr":
            return gtr_counts(grid, self.iterations)
        return hidden_counts(grid[0] * grid[1], self.iterations)

    def arranged(self, orders: Tensor, grid: Grid) -> Tensor:
        """Random orders (B, L), of which the end is drawn first, as ``order`` wants them."""
        if self.order == "random":
            return orders
        stages = gtr_stages(grid)[orders]
        return orders.gather(1, stages.sort(dim=1, descending=True, stable=True).indices)

    def for_edits(self) -> DrawSettings:
        """The settings of an edit, with its own CFG scale as ``cfg_scale``."""
        if self.edit_cfg_scale is None:
            return self
        return replace(self, cfg_scale=self.edit_cfg_scale, edit_cfg_scale=None)

    def guided(self, iteration: int) -> bool:
        """Whether an iteration uses guidance, which also runs the unconditional half."""
        start, stop = self.guidance
        return self.cfg_scale != 1.0 and start <= iteration / self.iterations < stop

    def scale(self, left: int, tokens: int) -> float:
        """The CFG scale of the iteration that leaves ``left`` of the ``tokens`` hidden."""
        if self.cfg_schedule == "constant":
            return self.cfg_scale
        # The last iteration still counts one token as hidden, so full scale is never reached.
        return 1 + (self.cfg_scale - 1) * (tokens - max(left, 1)) / tokens

    def grid(self, model: Harmon) -> Grid:
        """Token grid (m, n). Raises ValueError unless the VAE's stride divides both sides and the
        LLM has places for all tokens."""
        return self.grid_of(model.config)

    def grid_of(self, config: HarmonConfig) -> Grid:
        """The same of a model that is not open."""
        size = config.image_size if self.image_size is None else self.image_size
        sides = (size, size) if isinstance(size, int) else size
        stride = config.vae.stride
        for side in sides:
            if side < 1 or side % stride:
                below = max(1, side // stride) * stride
                near = f"{below} or {below + stride}" if side > stride else f"{below}"
                raise ValueError(
                    f"the image size {side} must be a multiple of {stride} pixels: give {near}"
                )
        height, width = (side // stride for side in sides)
        most = config.llm.max_position_embeddings - config.mar.buffers
        if height * width > most:
            raise ValueError(
                f"images of {sides[0]}x{sides[1]} pixels are {height * width:,} tokens, more than "
                f"the model's {most:,}: give at most {math.isqrt(most) * stride}"
            )
        return height, width


DISA_START = 950  # the head's first step, where noise is not quite pure (arXiv 2505.20297)


@dataclass(frozen=True)
class Cheaper:
    """Changes to a model's own settings that make it faster.

    ``iterations`` and ``diffusion_steps`` are shares of the model's own numbers. With
    ``final_steps``, the steps fall to that number over the iterations and the head starts at
    ``DISA_START``, as in DiSA (arXiv 2505.20297), unless the model says itself how its steps fall
    or are spaced, as one does that was taught to draw in few. The others replace the model's own,
    unless they are None."""

    iterations: float = 1.0
    diffusion_steps: float = 1.0
    solver: str | None = None
    guidance: tuple[float, float] | None = None
    spacing: str | None = None
    adaptive_guidance: float | None = None
    final_steps: int | None = None

    def than(self, own: DrawSettings) -> DrawSettings:
        """The model's own settings, made cheaper. Raises ValueError if the result is invalid."""
        steps = max(1, round(self.diffusion_steps * own.diffusion_steps))
        taught = own.annealing is not None or own.spacing != "linspace"
        if self.final_steps is not None and self.final_steps < steps and not taught:
            own = replace(
                own,
                diffusion_steps=steps,
                annealing="linear",
                final_steps=self.final_steps,
                last_step=DISA_START,
            )
        return replace(
            own,
            iterations=max(1, round(self.iterations * own.iterations)),
            diffusion_steps=steps,
            solver=self.solver or own.solver,
            guidance=self.guidance or own.guidance,
            spacing=self.spacing or own.spacing,
            adaptive_guidance=(
                own.adaptive_guidance if self.adaptive_guidance is None else self.adaptive_guidance
            ),
        )


# The preset of ``--fast`` for models without distilled weights; its price: docs/speed.md.
FAST = Cheaper(iterations=0.75, final_steps=5)


def draw_orders_and_noise(
    seeds: Sequence[int], grid: Grid, channels: int, settings: DrawSettings, device: torch.device
) -> tuple[Tensor, Noise]:
    """Orders (B, L) and the noise of every iteration. Sample i uses only a generator of seeds[i].

    The generators are on the CPU, so that a seed gives the same numbers on every device."""
    tokens, counts = grid[0] * grid[1], settings.counts(grid)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    orders = torch.stack([torch.randperm(tokens, generator=g) for g in generators])

    def noise(iteration: int) -> tuple[Tensor, Tensor]:
        count = counts[iteration] - counts[iteration + 1]
        draws = 1 + (settings.steps_at(iteration) if settings.solver == "ancestral" else 0)
        shape = (draws, count, channels)
        drawn = torch.cat([torch.randn(shape, generator=g) for g in generators], dim=1)
        if device.type == "cuda":  # from pinned memory, a copy does not wait for the device
            drawn = drawn.pin_memory().to(device, non_blocking=True)
        drawn = drawn.to(device)
        return drawn[0], drawn[1:]

    return settings.arranged(orders, grid).to(device), noise
