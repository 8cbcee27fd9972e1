"""Harmon's VAE (KL-16) alone: ``vae:PLACE``, the Harmon checkpoint's place.

Its latents are features, and it repeats images: what the VAE loses is lost to its model too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from harmon_eval.adapters._torch import Dtype, best_device, check_place, chosen_dtype
from harmon_eval.adapters.harmon import find_harmon, made_with
from harmon_eval.core import Edit, Embed, Responder, Sample, Task, Unscorable, UserError
from harmon_eval.files.images import read_picture, viewed
from harmon_eval.files.views import centre_crop
from harmon_eval.model.checkpoint import load
from harmon_eval.model.fast.rows import one_by_one
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import REPEAT
from harmon_eval.model.weights import CheckpointError
from harmon_eval.settings import check_range

GRID = 16  # 256 pixels; larger ones are pooled to it: 4,096 numbers


class LatentResponder(Responder):
    """What Harmon's encoder reads (the posterior's mode, scaled), averaged over blocks of places to
    at most ``grid`` x ``grid`` and flattened row by row, (grid^2 * C,)."""

    def __init__(
        self,
        name: str,
        pipeline: HarmonPipeline,
        fingerprint: str,
        grid: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Raises UserError for a grid that does not divide the latents' own."""
        config = pipeline.model.config
        own = config.image_size // config.vae.stride
        self.grid = min(grid, own)
        if own % self.grid:
            raise UserError(f"vae: grid={grid} does not divide the {own} x {own} latents")
        self.name, self.pipeline, self.fingerprint = name, pipeline, fingerprint
        self._check = check
        self.settings = {
            "image_size": [config.image_size, config.image_size],
            "grid": self.grid,
            "dtype": str(pipeline.model.dtype).removeprefix("torch."),
        }

    @torch.inference_mode()
    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray]:
        side = self.pipeline.model.config.image_size
        images = [centre_crop(viewed(request), side) for request in requests]
        latents = self.pipeline.latents(images).float().permute(0, 3, 1, 2)  # (B, C, m, n)
        pooled = F.adaptive_avg_pool2d(latents, self.grid).permute(0, 2, 3, 1)
        return made_with(self._check, list(pooled.flatten(1).cpu().numpy()))

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None:
        super().expect(name, task, samples)
        check_samples(self.name, name, samples)

    @torch.inference_mode()
    def edit(self, requests: Sequence[Edit]) -> Sequence[Image.Image]:
        """Images through encoder and decoder. Raises Unscorable for any other wish."""
        for request in requests:
            if request.instruction.strip() != REPEAT or len(request.images) != 1:
                raise Unscorable(f"{self.name} can only repeat one image ({REPEAT!r})")
        side, processor = self.pipeline.model.config.image_size, self.pipeline.processor
        vae = self.pipeline.model.vae
        sources = [read_picture(request.images[0]) for request in requests]
        pixels = processor.cropped_pixels(sources, side, side)
        pixels = pixels.to(self.pipeline.model.device, self.pipeline.model.dtype)
        latents = one_by_one(vae.encode, pixels)
        return made_with(self._check, processor.to_images(one_by_one(vae.decode, latents)))


@dataclass(frozen=True)
class Settings:
    """``kl16``: the file of the VAE beside a ``.pth``. ``revision``: commit, branch or tag of the
    hub. ``grid``: places a side that are left."""

    device: str | None = None
    dtype: Dtype = "float32"
    kl16: Path | None = None
    revision: str | None = None
    grid: int = GRID

    def __post_init__(self) -> None:
        check_range("grid", self.grid, 1)


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError where ``open_model`` would find no weights."""
    check_place("vae", argument)
    find_harmon(argument, settings.device, settings.kl16, settings.revision)


def check_samples(model: str, task: str, samples: Sequence[Sample]) -> None:
    """Raises UserError for edits that are no repetitions."""
    edits = [s.request for s in samples if isinstance(s.request, Edit)]
    if any(request.instruction.strip() != REPEAT for request in edits):
        raise UserError(
            f"task {task!r} asks for what {model} cannot do: edit images by any instruction but "
            f"{REPEAT!r}, as the task reconstruction does"
        )


def open_model(argument: str, settings: Settings) -> LatentResponder:
    """``vae:PLACE``. Raises UserError for weights unfit for use."""
    check_place("vae", argument)
    device = best_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    try:
        loaded = load(
            argument,
            kl16=settings.kl16,
            device=device,
            dtype=dtype,
            revision=settings.revision,
        )
    except CheckpointError as error:
        raise UserError(str(error)) from None
    name = f"vae:{loaded.name}"
    return LatentResponder(name, loaded.pipeline, loaded.fingerprint, settings.grid, loaded.check)
