"""Harmon under test: the bundled harmon-mini, or real weights from a file, folder or hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from harmon_eval.core import Ask, Draw, Embed, ModelOptions, Responder, Unscorable, UserError
from harmon_eval.files.images import open_image, viewed
from harmon_eval.files.views import centre_crop
from harmon_eval.model.checkpoint import load
from harmon_eval.model.fast.graphs import CapturedPasses, compile_blocks
from harmon_eval.model.fast.memory import FittingBatches, bytes_a_picture, fitting_size, free_memory
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.sampling import FAST, DrawSettings
from harmon_eval.model.weights import CheckpointError
from harmon_eval.registry import BUNDLED_MODEL
from harmon_eval.settings import split

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
POOLS = ("image", "buffers", "both")


def best_device(name: str | None) -> torch.device:
    """None: the accelerator if there is one. Raises UserError for a device that is not here."""
    if name is None:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def draw_settings(base: DrawSettings, options: ModelOptions) -> DrawSettings:
    """The model's own settings, changed by the options that were given."""
    given: dict[str, Any] = {
        "cfg_scale": options.cfg,
        "iterations": options.steps,
        "diffusion_steps": options.diffusion_steps,
        "temperature": options.temperature,
        "image_size": options.image_size,
        "solver": options.solver,
        "guidance": options.guidance,
    }
    try:
        if options.fast:
            base = FAST.than(base)
        return replace(base, **{key: value for key, value in given.items() if value is not None})
    except ValueError as error:
        raise UserError(str(error)) from None


@dataclass(frozen=True)
class Features:
    """What ``embed`` gives: the encoder's ``final`` output, a block's (from 0) or those of ``all``,
    the mean over ``image`` tokens, over ``buffers``, or ``both`` one after the other."""

    layer: str = "final"
    pool: str = "image"

    def settings(self, depth: int, width: int) -> dict[str, Any]:
        """For the provenance, where they are not the default; of ``all`` layers with the places of
        each part. Raises UserError for a layer or a pooling that there is not."""
        layers = ("final", "all", *map(str, range(depth)))
        if self.layer not in layers:
            raise UserError(f"harmon: layer={self.layer}: give final, all or 0 to {depth - 1}")
        if self.pool not in POOLS or (self.layer == "all" and self.pool != "image"):
            raise UserError(f"harmon: pool={self.pool}: give {', '.join(POOLS)} of one layer")
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


class HarmonResponder(Responder):
    def __init__(
        self,
        name: str,
        pipeline: HarmonPipeline,
        settings: DrawSettings,
        fingerprint: str,
        training: Mapping[str, Any],
        compiled: bool = False,
        features: Features | None = None,
    ) -> None:
        self.name = name
        self.features = features or Features()
        self.pipeline = pipeline
        self.draw_settings = settings
        self.fingerprint = fingerprint
        model = pipeline.model
        try:
            size = settings.grid(model)
        except ValueError as error:
            raise UserError(str(error)) from None
        each = bytes_a_picture(model.config, size, model.dtype)
        self._fitting = FittingBatches(fitting_size(free_memory(model.device), each))
        self._passes = Passes(model, settings, size)
        if compiled:
            # On a CPU there are no graphs; what is left are their buffers.
            if model.device.type == "cuda":
                compile_blocks(model)
            self._passes = CapturedPasses(model, settings, size)
        stride = model.config.vae.stride
        self.settings: dict[str, Any] = {
            **asdict(settings),
            "guidance": list(settings.guidance),
            "image_size": [side * stride for side in size],
            "full_stop": pipeline.processor.full_stop,
            "images_a_question": "the first",
            "dtype": str(model.dtype).removeprefix("torch."),
        }
        if training:
            known = ("steps", "seconds", "commit")
            self.settings["training"] = {k: training[k] for k in known if k in training}
        self.settings |= self.features.settings(model.config.mar.depth, model.config.mar.width)

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        return self._fitting.run(self._draw, requests)

    def _draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        prompts, seeds = [r.prompt for r in requests], [r.seed for r in requests]
        return self.pipeline.draw(prompts, seeds, self.draw_settings, self._passes)

    def ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        return self._fitting.run(self._ask, requests)

    def _ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        if any(request.system for request in requests):
            raise Unscorable(f"{self.name} has no system turn")
        paths = dict.fromkeys(request.images[0] for request in requests if request.images)
        opened = {path: open_image(path) for path in paths}
        images = [opened[request.images[0]] if request.images else None for request in requests]
        budgets = [request.max_new_tokens for request in requests]
        return self.pipeline.answer(images, [r.question for r in requests], budgets)

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray]:
        side = self.pipeline.model.config.image_size
        images = [centre_crop(viewed(request), side) for request in requests]
        if self.features.layer == "all":
            return list(self.pipeline.embed_layers(images).reshape(len(images), -1))
        layer = -1 if self.features.layer == "final" else int(self.features.layer)
        return list(self.pipeline.embed(images, layer, self.features.pool))


def open_model(argument: str, options: ModelOptions) -> HarmonResponder:
    """Bundled name, folder, ``.pth`` or hub id, and ``?layer=K&pool=P`` for what is embedded.

    Raises UserError for weights unfit for use."""
    device = best_device(options.device)
    dtype = DTYPES[options.dtype or "float32"]
    place, given = split("harmon", argument or BUNDLED_MODEL, {"layer", "pool"})
    features = Features(given.get("layer", "final"), given.get("pool", "image"))
    try:
        loaded = load(place, kl16=options.kl16, device=device, dtype=dtype)
    except CheckpointError as error:
        raise UserError(str(error)) from None
    settings = draw_settings(loaded.draw_settings, options)
    return HarmonResponder(
        name=loaded.name,
        pipeline=loaded.pipeline,
        settings=settings,
        fingerprint=loaded.fingerprint,
        training=loaded.training,
        compiled=bool(options.compile),
        features=features,
    )
