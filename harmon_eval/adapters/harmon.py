"""Harmon under test: the bundled harmon-mini, or real weights from a file, folder or hub."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from harmon_eval.adapters import _places
from harmon_eval.adapters._harmon_settings import (
    Features,
    Settings,
    draw_settings,
)
from harmon_eval.adapters._torch import best_device, chosen_dtype, reply_of
from harmon_eval.core import Ask, Draw, Edit, Embed, Responder, Score, Unscorable, UserError
from harmon_eval.files.images import read_picture, viewed
from harmon_eval.files.views import centre_crop
from harmon_eval.model import families
from harmon_eval.model.checkpoint import (
    BUNDLED,
    DISTILLED,
    bundled_names,
    check_name,
    find_distilled,
    load,
    read_drawing,
)
from harmon_eval.model.config import HarmonConfig, HeadConfig
from harmon_eval.model.fast.graphs import CapturedPasses, compile_blocks
from harmon_eval.model.fast.memory import (
    FittingBatches,
    bytes_a_picture,
    bytes_an_edit,
    fitting_size,
    free_memory,
)
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.mar import Grid
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import REPEAT
from harmon_eval.model.sampling import SAVINGS, DrawSettings
from harmon_eval.model.weights import CheckpointError, check_weights, config_at
from harmon_eval.registry import BUNDLED_MODEL
from harmon_eval.replies import probabilities

logger = logging.getLogger(__name__)

# How images are edited, as UniPic-1 does it.
EDITING = {"source": "centre crop", "unconditional": REPEAT, "mask": "not used"}
T = TypeVar("T")
TRAINING = ("steps", "seconds", "commit")  # what is told of how the weights came to be


def made_with(check: Callable[[], None], responses: Sequence[T]) -> Sequence[T]:
    """Responses that the weights of the fingerprint gave. Raises UserError where their file was
    written to in between: it is looked up after each batch, before that is stored."""
    try:
        check()
    except CheckpointError as error:
        raise UserError(str(error)) from None
    return responses


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
        max_new_tokens: int | None = None,
        repetition_penalty: float = 1.0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.limit = name, max_new_tokens
        self.repetition_penalty = repetition_penalty
        self.features = features or Features()
        self.pipeline = pipeline
        self._check = check
        self._remarks: list[str] = []
        self._said_unknown = False
        self.draw_settings = settings
        self.fingerprint = fingerprint
        model = pipeline.model
        size = grid_of(settings, model.config)
        each = bytes_a_picture(model.config, size, model.dtype)
        free, edit = free_memory(model.device), bytes_an_edit(model.config, size, model.dtype)
        self._fitting = FittingBatches(fitting_size(free, each))
        self._fitting_edits = FittingBatches(fitting_size(free, edit))
        self._passes = Passes(model, settings, size)
        if compiled:
            # On a CPU there are no graphs; what is left are their buffers.
            if model.device.type == "cuda":
                compile_blocks(model)
            self._passes = CapturedPasses(model, settings, size)
        self.settings: dict[str, Any] = self._described(settings, size)
        self.about = {"editing": EDITING}
        if training:
            self.about["training"] = {k: training[k] for k in TRAINING if k in training}
        self.settings |= self.features.settings(model.config.mar.depth, model.config.mar.width)
        if max_new_tokens:
            self.settings["max_new_tokens"] = max_new_tokens

    def _described(self, settings: DrawSettings, size: tuple[int, int]) -> dict[str, Any]:
        """How it draws, for the provenance; savings where they are used. ``size``: tokens."""
        model = self.pipeline.model
        stride = model.config.vae.stride
        found: dict[str, Any] = {
            **asdict(settings),
            "guidance": list(settings.guidance),
            "image_size": [side * stride for side in size],
            "full_stop": self.pipeline.processor.full_stop,
            "max_beta": model.config.head.max_beta,
            "repetition_penalty": self.repetition_penalty,
            "images_a_question": "the first",
            "dtype": str(model.dtype).removeprefix("torch."),
        }
        for name in SAVINGS:
            if getattr(settings, name) == getattr(DrawSettings, name):
                del found[name]
        if settings.edit_cfg_scale is None:  # edits are guided as drawings are
            del found["edit_cfg_scale"]
        if settings.edit_condition:  # as the family edits
            del found["edit_condition"]
        return found

    def remarks(self) -> Sequence[str]:
        found, self._remarks = self._remarks, []
        return found

    def _read(self, texts: Sequence[str]) -> None:
        """Note, once, that words of a request are unknown to the tokenizer."""
        if self._said_unknown:
            return
        for text in texts:
            if words := self.pipeline.processor.unknown_words(text):
                self._said_unknown = True
                self._remarks.append(
                    f"{self.name} does not know every word that it is asked and reads each other "
                    f"one as the same unknown word, such as {words[0]!r} in {text[:80]!r}"
                )
                return

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        return made_with(self._check, self._fitting.run(self._draw, requests))

    def _draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        self._read([request.prompt for request in requests])
        prompts, seeds = [r.prompt for r in requests], [r.seed for r in requests]
        return self.pipeline.draw(prompts, seeds, self.draw_settings, self._passes)

    def edit(self, requests: Sequence[Edit]) -> Sequence[Image.Image | Exception]:
        return made_with(self._check, self._fitting_edits.run(self._edit, requests))

    def _edit(self, requests: Sequence[Edit]) -> Sequence[Image.Image | Exception]:
        """UniPic-1 takes one source; a request with several does not spoil the others."""
        able = [r for r in requests if len(r.images) == 1]
        self._read([r.instruction for r in able])
        opened = {r.images[0]: read_picture(r.images[0]) for r in able}
        made = iter(
            self.pipeline.edit(
                [opened[r.images[0]] for r in able],
                [r.instruction for r in able],
                [r.seed for r in able],
                self.draw_settings,
                self._passes,
            )
            if able
            else ()
        )
        return [
            next(made)
            if len(r.images) == 1
            else Unscorable(f"{self.name} edits one image, not {len(r.images)}")
            for r in requests
        ]

    def ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        return made_with(self._check, self._fitting.run(self._ask, requests))

    def _ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        if any(request.system for request in requests):
            raise Unscorable(f"{self.name} has no system turn")
        paths = dict.fromkeys(request.images[0] for request in requests if request.images)
        opened = {path: read_picture(path) for path in paths}
        images = [opened[request.images[0]] if request.images else None for request in requests]
        limits = [self.limit or request.max_new_tokens for request in requests]
        questions = [request.question for request in requests]
        self._read(questions)
        replies = self.pipeline.replies(images, questions, limits, self.repetition_penalty)
        return [
            reply_of(text, cut, limit) for (text, cut), limit in zip(replies, limits, strict=True)
        ]

    def score(self, requests: Sequence[Score]) -> Sequence[str | Exception]:
        return made_with(self._check, self._fitting.run(self._score, requests))

    def _score(self, requests: Sequence[Score]) -> Sequence[str | Exception]:
        if any(request.system for request in requests):
            raise Unscorable(f"{self.name} has no system turn")
        paths = dict.fromkeys(request.images[0] for request in requests if request.images)
        opened = {path: read_picture(path) for path in paths}
        self._read([request.question for request in requests])
        processor = self.pipeline.processor
        whole = [[o[0] for o in r.options] if r.kind == "whole" else [] for r in requests]
        first, scores = self.pipeline.logprobs(
            [opened[request.images[0]] if request.images else None for request in requests],
            [request.question for request in requests],
            whole,
        )
        return [
            probabilities.of_whole(own)
            if request.kind == "whole"
            else probabilities.of_first(request.options, row, processor.first_id, processor.token)
            for request, row, own in zip(requests, first, scores, strict=True)
        ]

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray]:
        side = self.pipeline.model.config.image_size
        images = [centre_crop(viewed(request), side) for request in requests]
        if self.features.layer == "all":
            layers = self.pipeline.embed_layers(images).reshape(len(images), -1)
            return made_with(self._check, list(layers))
        layer = -1 if self.features.layer == "final" else int(self.features.layer)
        return made_with(self._check, list(self.pipeline.embed(images, layer, self.features.pool)))


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError where ``open_model`` would find no weights, or some that do not fit."""
    place = argument or BUNDLED_MODEL
    here = BUNDLED / place if place in bundled_names() else Path(place).expanduser()
    if not here.exists():  # on the hub, all weights have one VAE, KL-16
        grid_of(DrawSettings(image_size=settings.image_size), HarmonConfig())
    find_harmon(argument, settings.device, settings.kl16, settings.revision)
    if not here.exists():
        return
    try:
        taught = find_distilled(here) if settings.fast else None
        folder, config = here if here.is_dir() else here.parent, config_at(taught or here)
        how = read_drawing(taught or folder, config)
    except CheckpointError as error:
        raise UserError(str(error)) from None
    grid_of(draw_settings(how, settings, bool(taught)), config or HarmonConfig())


def grid_of(settings: DrawSettings, config: HarmonConfig) -> Grid:
    """Tokens (m, n) of an image. Raises UserError for a size that the model cannot have."""
    try:
        return settings.grid_of(config)
    except ValueError as error:
        raise UserError(f"harmon: {error}") from None


def find_harmon(
    place: str, device: str | None, kl16: Path | None, revision: str | None = None
) -> None:
    """Raises UserError for a place of Harmon's weights, or of its VAE beside a ``.pth``, where
    there are none. Reads and fetches nothing."""
    best_device(device)
    place = place or BUNDLED_MODEL
    if kl16 is not None and not kl16.expanduser().is_file():
        raise UserError(f"kl16={kl16}: no such file: give that of the VAE, such as kl16.ckpt")
    try:
        check_name(place, revision)
        if place in ("harmon", *bundled_names()):
            return
        if (path := Path(place).expanduser()).exists():
            check_weights(path)
        elif other := families.of_hub_id(place):
            raise other.refused(place)
    except CheckpointError as error:
        raise UserError(str(error)) from None
    if not path.exists() and "/" not in place and (meant := families.meant_by(place)):
        raise UserError(f"no folder {place!r} here: {meant}")
    _places.find_weights(place, revision)


def first_step(how: DrawSettings, head: HeadConfig) -> int:
    """The step of the schedule, out of 1000, from which the head starts to draw a token."""
    steps = min(how.steps_at(iteration) for iteration in (0, how.iterations - 1))
    return int(how.schedule(steps, head).steps[-1] * 1000 / head.train_steps)


def open_model(argument: str, settings: Settings) -> HarmonResponder:
    """Bundled name, folder, ``.pth`` or hub id. Raises UserError for weights unfit for use."""
    device = best_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    place = argument or BUNDLED_MODEL
    try:
        loaded = load(
            place,
            settings.kl16,
            device,
            dtype,
            settings.max_beta,
            settings.revision,
            settings.fast,
        )
    except CheckpointError as error:
        raise UserError(str(error)) from None
    how = draw_settings(loaded.draw_settings, settings, loaded.distilled)
    if settings.fast and not loaded.distilled:
        steps = f"{how.diffusion_steps}" + (f" to {how.final_steps}" if how.final_steps else "")
        logger.warning(
            "%s has no distilled weights (a folder %s), so fast draws in fewer steps: "
            "%d iterations, not %d, and %s steps of the head, not %d (docs/speed.md)",
            loaded.name,
            DISTILLED,
            how.iterations,
            loaded.draw_settings.iterations,
            steps,
            loaded.draw_settings.diffusion_steps,
        )
    if (first := first_step(how, loaded.pipeline.model.config.head)) < 500:
        logger.warning(
            "the head starts at step %d of 1000, so drawings stay noise: "
            "give more diffusion_steps, spacing=trailing or a last_step near 950",
            first,
        )
    responder = HarmonResponder(
        name=loaded.name,
        pipeline=loaded.pipeline,
        settings=how,
        fingerprint=loaded.fingerprint,
        training=loaded.training,
        compiled=settings.compile,
        features=Features(settings.layer, settings.pool),
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
        check=loaded.check,
    )
    if settings.revision:
        responder.settings["revision"] = settings.revision
    if loaded.distilled:
        responder.settings["weights"] = DISTILLED
    return responder
