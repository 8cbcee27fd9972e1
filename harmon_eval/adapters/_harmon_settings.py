"""How Harmon is opened, how it draws and what it embeds, as users set it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harmon_eval.adapters._torch import Dtype
from harmon_eval.core import UserError
from harmon_eval.model.sampling import CACHE_FROM, FAST, SAVINGS, DrawSettings
from harmon_eval.settings import check_range

# What distilled weights were taught, and cannot be set beside them.
DISTILLED_WITH = (
    *("max_beta", "cfg", "edit_cfg", "guidance", "solver", "diffusion_steps"),
    *SAVINGS,
)


@dataclass(frozen=True)
class Settings:
    """How to open, draw and answer; what is None stays the model's own (see ``DrawSettings``).

    ``kl16``: the file of the VAE beside a ``.pth``. ``revision``: commit, branch or tag of the
    hub. ``max_beta``: the cap of the noise schedule, where the weights do not tell (Harmon: 0.999;
    UniPic-1: 0.2). ``cfg``: guidance scale; ``edit_cfg``: that of edits, if another.
    ``edit_condition`` no: their source is in the prompt alone, as RecA trains. ``annealing`` to
    ``final_steps``, ``last_step``, ``spacing``, ``order``, ``cache`` and ``adaptive_guidance``: see
    ``DrawSettings``. ``steps``: MAR iterations. ``fast``: the weights in the model's folder
    ``fast`` (beside a file), or else the preset of docs/speed.md, under what is set besides.
    ``repetition_penalty``: of answers; the authors' scripts have Qwen's 1.1. ``compile``: captured
    graphs and compiled blocks on a GPU. ``layer`` and ``pool``: see ``Features``.
    ``max_new_tokens`` stands in for the benchmark's own limit of a reply."""

    device: str | None = None
    dtype: Dtype = "float32"
    kl16: Path | None = None
    revision: str | None = None
    max_beta: float | None = None
    cfg: float | None = None
    edit_cfg: float | None = None
    edit_condition: bool | None = None
    steps: int | None = None
    diffusion_steps: int | None = None
    temperature: float | None = None
    image_size: int | None = None
    solver: Literal["ancestral", "ddim", "dpm-solver++"] | None = None
    guidance: tuple[float, float] | None = None
    annealing: Literal["linear", "cosine", "two-stage", "constant"] | None = None
    final_steps: int | None = None
    last_step: int | None = None
    spacing: Literal["linspace", "trailing"] | None = None
    order: Literal["random", "gtr"] | None = None
    cache: int | None = None
    adaptive_guidance: float | None = None
    fast: bool = False
    repetition_penalty: float = 1.0
    compile: bool = False
    layer: str = "final"
    pool: Literal["image", "buffers", "both"] = "image"
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        check_range("max_beta", self.max_beta, 0.001, 0.999)
        check_range("cfg", self.cfg, 0)
        check_range("edit_cfg", self.edit_cfg, 0)
        check_range("repetition_penalty", self.repetition_penalty, 0.01)
        check_range("steps", self.steps, 1)
        check_range("diffusion_steps", self.diffusion_steps, 1, 1000)
        check_range("final_steps", self.final_steps, 1, 1000)
        check_range("last_step", self.last_step, 1, 999)
        check_range("cache", self.cache, 0)
        check_range("adaptive_guidance", self.adaptive_guidance, -1, 1)
        check_range("temperature", self.temperature, 0)
        check_range("image_size", self.image_size, 1)
        check_range("max_new_tokens", self.max_new_tokens, 1)
        if self.guidance is not None and not 0 <= self.guidance[0] <= self.guidance[1] <= 1:
            start, stop = self.guidance
            raise ValueError(f"guidance={start:g}:{stop:g}: give a part of 0:1, such as 0.0:0.5")
        if self.layer not in ("final", "all") and not self.layer.isdecimal():
            raise ValueError(f"layer={self.layer}: give final, all or the number of a block")
        if self.layer == "all" and self.pool != "image":
            raise ValueError(f"layer=all has every pooling in it: leave out pool={self.pool}")


def check_distilled(settings: Settings) -> None:
    """Raises UserError for what cannot be set beside distilled weights."""
    if fixed := [name for name in DISTILLED_WITH if getattr(settings, name) is not None]:
        raise UserError(
            f"harmon: fast draws with weights distilled for one way of drawing: leave out "
            f"{', '.join(fixed)}, or fast"
        )


def draw_settings(base: DrawSettings, settings: Settings, distilled: bool = False) -> DrawSettings:
    """The model's own way to draw, changed by what was set. A model that was ``distilled`` to draw
    fast needs no preset for it, and keeps what it was distilled for. Raises UserError."""
    if distilled:
        check_distilled(settings)
    given: dict[str, Any] = {
        "cfg_scale": settings.cfg,
        "edit_cfg_scale": settings.edit_cfg,
        "edit_condition": settings.edit_condition,
        "iterations": settings.steps,
        "diffusion_steps": settings.diffusion_steps,
        "temperature": settings.temperature,
        "image_size": settings.image_size,
        "solver": settings.solver,
        "guidance": settings.guidance,
        **{name: getattr(settings, name) for name in SAVINGS},
    }
    try:
        if settings.fast and not distilled:
            preset = FAST
            if settings.diffusion_steps is not None and settings.annealing is None:
                preset = replace(FAST, final_steps=None)  # so many steps in every iteration
            base = preset.than(base)
        found = replace(base, **{key: value for key, value in given.items() if value is not None})
    except ValueError as error:
        raise UserError(f"harmon: {error}") from None
    start, stop = found.guidance
    part = [k for k in range(found.iterations) if start <= k / found.iterations < stop]
    if settings.guidance and stop and not part:
        raise UserError(
            f"harmon: guidance {start:g}:{stop:g} holds none of the {found.iterations} iterations: "
            "give a wider part, or 0:0 for no guidance"
        )
    if idle := _idle(settings, found):
        raise UserError(
            f"harmon: nothing is guided (cfg {found.cfg_scale:g}, guidance {{:g}}:{{:g}}".format(
                *found.guidance
            )
            + f"), so {' and '.join(idle)} would change "
            f"nothing: leave out {', '.join(idle)}, or guide"
        )
    if settings.cache and all(map(found.computes_guidance, part)):
        raise UserError(
            f"harmon: cache={settings.cache} changes nothing in {found.iterations} iterations: "
            f"guidance is computed in the first {CACHE_FROM}, then in one of every {settings.cache}"
        )
    return found


def _idle(settings: Settings, found: DrawSettings) -> list[str]:
    """What was set to save guidance, where there is none."""
    scaled = any(scale not in (None, 1.0) for scale in (found.cfg_scale, found.edit_cfg_scale))
    named = {
        "cache": bool(settings.cache),
        "adaptive_guidance": settings.adaptive_guidance is not None,
        "guidance": settings.guidance is not None and not scaled,
    }
    start, stop = found.guidance
    return [] if scaled and start < stop else [name for name, given in named.items() if given]


@dataclass(frozen=True)
class Features:
    """What ``embed`` gives: the encoder's ``final`` output, a block's (from 0) or those of ``all``,
    the mean over ``image`` tokens, over ``buffers``, or ``both`` one after the other."""

    layer: str = "final"
    pool: str = "image"

    def settings(self, depth: int, width: int) -> dict[str, Any]:
        """For the provenance, where they are not the default; of ``all`` layers with the places of
        each part. Raises UserError for a layer that there is not."""
        layers = ("final", "all", *map(str, range(depth)))
        if self.layer not in layers:
            raise UserError(f"harmon: layer={self.layer}: give final, all or 0 to {depth - 1}")
        if self.layer != "all":
            return {} if self == Features() else {"layer": self.layer, "pool": self.pool}
        place = {"final": depth, **{str(block): block for block in range(depth)}}
        ends = {"image": (0, width), "buffers": (width, 2 * width), "both": (0, 2 * width)}
        return {
            "layer": "all",
            "parts": {
                f"{layer}-{pool}": [2 * width * number + end for end in within]
                for layer, number in place.items()
                for pool, within in ends.items()
            },
        }
