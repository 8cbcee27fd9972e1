"""Harmon under test: the bundled harmon-mini, or real weights from a file, folder or hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from harmon_eval.adapters import _places
from harmon_eval.adapters._torch import Dtype, best_device, chosen_dtype, reply_of
from harmon_eval.core import Ask, Draw, Edit, Embed, Responder, Score, Unscorable, UserError
from harmon_eval.files.images import read_picture, viewed
from harmon_eval.files.views import centre_crop
from harmon_eval.model import families
from harmon_eval.model.checkpoint import BUNDLED, DISTILLED, bundled_names, check_revision, load
from harmon_eval.model.fast.graphs import CapturedPasses, compile_blocks
from harmon_eval.model.fast.memory import (
    FittingBatches,
    bytes_a_picture,
    bytes_an_edit,
    fitting_size,
    free_memory,
)
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import REPEAT
from harmon_eval.model.sampling import FAST, SAVINGS, DrawSettings
from harmon_eval.model.weights import CheckpointError, check_weights
from harmon_eval.registry import BUNDLED_MODEL
from harmon_eval.replies import probabilities
from harmon_eval.settings import check_range

# How images are edited, as UniPic-1 does it.
EDITING = {"source": "centre crop", "unconditional": REPEAT, "mask": "not used"}
TRAINING = ("steps", "seconds", "commit")  # what is told of how the weights came to be

DISTILLED_WITH = ("cfg", "guidance", "solver", "diffusion_steps", *SAVINGS)


@dataclass(frozen=True)
class Settings:
    """How to open, draw and answer; what is None stays the model's own (see ``DrawSettings``).

    ``kl16``: the file of the VAE beside a ``.pth``. ``revision``: commit, branch or tag of the
    hub. ``max_beta``: the cap of the noise schedule,
    where the weights do not tell (Harmon: 0.999; UniPic-1: 0.2). ``cfg``: guidance scale;
    ``edit_cfg``: that of edits, if another. ``edit_condition`` no: their source is in the prompt
    alone, as RecA trains.
    ``annealing`` to ``final_steps``, ``last_step``, ``spacing``, ``order``, ``cache`` and
    ``adaptive_guidance``: see ``DrawSettings``.
    ``steps``: MAR iterations. ``fast``: the weights in the model's folder
    ``fast``, or else the preset of docs/speed.md, under what is set besides.
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
            base = FAST.than(base)
        return replace(base, **{key: value for key, value in given.items() if value is not None})
    except ValueError as error:
        raise UserError(f"harmon: {error}") from None


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
    ) -> None:
        self.name, self.limit = name, max_new_tokens
        self.repetition_penalty = repetition_penalty
        self.features = features or Features()
        self.pipeline = pipeline
        self._remarks: list[str] = []
        self._said_unknown = False
        self.draw_settings = settings
        self.fingerprint = fingerprint
        model = pipeline.model
        try:
            size = settings.grid(model)
        except ValueError as error:
            raise UserError(f"harmon: {error}") from None
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
        stride = model.config.vae.stride
        self.settings: dict[str, Any] = {
            **asdict(settings),
            "guidance": list(settings.guidance),
            "image_size": [side * stride for side in size],
            "full_stop": pipeline.processor.full_stop,
            "max_beta": model.config.head.max_beta,
            "repetition_penalty": repetition_penalty,
            "images_a_question": "the first",
            "dtype": str(model.dtype).removeprefix("torch."),
        }
        for name in SAVINGS:
            if getattr(settings, name) == getattr(DrawSettings, name):
                del self.settings[name]
        if settings.edit_cfg_scale is None:  # edits are guided as drawings are
            del self.settings["edit_cfg_scale"]
        if settings.edit_condition:  # as the family edits
            del self.settings["edit_condition"]
        self.about = {"editing": EDITING}
        if training:
            self.about["training"] = {k: training[k] for k in TRAINING if k in training}
        self.settings |= self.features.settings(model.config.mar.depth, model.config.mar.width)
        if max_new_tokens:
            self.settings["max_new_tokens"] = max_new_tokens

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
        return self._fitting.run(self._draw, requests)

    def _draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        self._read([request.prompt for request in requests])
        prompts, seeds = [r.prompt for r in requests], [r.seed for r in requests]
        return self.pipeline.draw(prompts, seeds, self.draw_settings, self._passes)

    def edit(self, requests: Sequence[Edit]) -> Sequence[Image.Image | Exception]:
        return self._fitting_edits.run(self._edit, requests)

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
        return self._fitting.run(self._ask, requests)

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
        return self._fitting.run(self._score, requests)

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
            return list(self.pipeline.embed_layers(images).reshape(len(images), -1))
        layer = -1 if self.features.layer == "final" else int(self.features.layer)
        return list(self.pipeline.embed(images, layer, self.features.pool))


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError where ``open_model`` would find no weights, or some that do not fit."""
    find_harmon(argument, settings.device, settings.kl16, settings.revision)
    place = argument or BUNDLED_MODEL
    here = BUNDLED / place if place in bundled_names() else Path(place).expanduser()
    if settings.fast and (here / DISTILLED).is_dir():
        check_distilled(settings)


def find_harmon(
    place: str, device: str | None, kl16: Path | None, revision: str | None = None
) -> None:
    """Raises UserError for a place of Harmon's weights, or of its VAE beside a ``.pth``, where
    there are none. Reads and fetches nothing."""
    best_device(device)
    if kl16 is not None and not kl16.expanduser().is_file():
        raise UserError(f"kl16={kl16}: no such file: give that of the VAE, such as kl16.ckpt")
    try:
        check_revision(place or BUNDLED_MODEL, revision)
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
    responder = HarmonResponder(
        name=loaded.name,
        pipeline=loaded.pipeline,
        settings=draw_settings(loaded.draw_settings, settings, loaded.distilled),
        fingerprint=loaded.fingerprint,
        training=loaded.training,
        compiled=settings.compile,
        features=Features(settings.layer, settings.pool),
        max_new_tokens=settings.max_new_tokens,
        repetition_penalty=settings.repetition_penalty,
    )
    if settings.revision:
        responder.settings["revision"] = settings.revision
    if loaded.distilled:
        responder.settings["weights"] = DISTILLED
    return responder
