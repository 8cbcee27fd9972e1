"""Any pipeline of the diffusers library that draws or edits: ``diffusers:FOLDER_OR_HUB_ID``.

Every image has its own generator on the CPU, so it depends on its prompt and seed and not on the
batch or the device's own random numbers.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from harmon_eval.adapters import _places
from harmon_eval.adapters._folders import check_folder
from harmon_eval.adapters._torch import Dtype, best_device, check_place, chosen_dtype
from harmon_eval.core import Draw, Edit, Responder, Unscorable, UserError
from harmon_eval.files.images import read_picture
from harmon_eval.model.fingerprint import hash_weights
from harmon_eval.settings import check_range

MODEL_INDEX = _places.DESCRIBED["diffusers"]
# A DiffusionPipeline: the library gives its pipelines no common type of call.
Pipeline = Any
# Setting -> arguments of the pipeline that it sets.
ARGUMENTS = {
    "cfg": ("guidance_scale",),
    "image_cfg": ("image_guidance_scale",),  # InstructPix2Pix's second scale, towards the source
    "true_cfg": ("true_cfg_scale",),  # of models whose guidance_scale is an input (Qwen-Image)
    "strength": ("strength",),  # image-to-image: how far from the source, 0 to 1
    "steps": ("num_inference_steps",),
    "image_size": ("height", "width"),
    "negative_prompt": ("negative_prompt",),
}


def pipeline_arguments(pipeline: Pipeline, chosen: dict[str, Any]) -> dict[str, Any]:
    """What the pipeline is called with. Raises UserError for what it does not take."""
    takes = inspect.signature(pipeline.__call__).parameters
    name = type(pipeline).__name__
    needed = ("prompt", "generator")
    if lacking := [argument for argument in needed if argument not in takes]:
        raise UserError(f"{name} takes no {lacking[0]}: it does not draw or edit by a prompt alone")
    required = [
        p.name
        for p in takes.values()
        if p.default is p.empty
        and p.kind is not p.VAR_KEYWORD
        and p.name not in ("prompt", "image")
    ]
    if required:
        raise UserError(
            f"{name} needs {required[0]} too: it does not draw or edit by a prompt alone"
        )
    found = {argument: value for key, value in chosen.items() for argument in ARGUMENTS[key]}
    for key in chosen:
        if unknown := [argument for argument in ARGUMENTS[key] if argument not in takes]:
            raise UserError(f"{name} takes no {unknown[0]}: leave out {key}")
    return found


def verbs(pipeline: type) -> set[str]:
    """What pipelines of a class do: one that takes an image edits, one that needs it does not draw.

    Image-to-image pipelines have no size of their own: it is the source's."""
    takes = inspect.signature(pipeline.__call__).parameters
    if (image := takes.get("image")) is None:
        return {"draw"}
    draws = image.default is not image.empty and "height" in takes
    return {"draw", "edit"} if draws else {"edit"}


class DiffusersResponder(Responder):
    """``chosen``: settings by the names in ``ARGUMENTS``; the others stay the pipeline's own."""

    def __init__(self, name: str, pipeline: Pipeline, chosen: dict[str, Any]) -> None:
        self.name = name
        self.pipeline = pipeline
        self.arguments = pipeline_arguments(pipeline, chosen)
        pipeline.set_progress_bar_config(disable=True)
        modules = {
            key: part
            for key, part in pipeline.components.items()
            if isinstance(part, torch.nn.Module)
        }
        self.fingerprint = hash_weights(
            {f"{key}.{k}": v for key, part in modules.items() for k, v in part.state_dict().items()}
        )
        takes = inspect.signature(pipeline.__call__).parameters
        own = {
            argument: takes[argument].default
            for each in ARGUMENTS.values()
            for argument in each
            if argument in takes
        }
        self.verbs = verbs(type(pipeline))
        scheduler = getattr(pipeline, "scheduler", None)
        self.settings: dict[str, Any] = {
            "pipeline": type(pipeline).__name__,
            "scheduler": type(scheduler).__name__ if scheduler is not None else None,
            **{k: v if v is not None else "the pipeline's own" for k, v in own.items()},
            **self.arguments,
            "dtype": str(pipeline.dtype).removeprefix("torch."),
        }

    def can(self, verb: str) -> bool:
        return verb in self.verbs

    def edit(self, requests: Sequence[Edit]) -> list[Image.Image | Exception]:
        """One at a time: sources differ in size, which a pipeline does not take in one batch."""
        return [self._edited(request) for request in requests]

    def _edited(self, request: Edit) -> Image.Image | Exception:
        if len(request.images) > 1:
            return Unscorable(f"{self.name} takes one source image, not {len(request.images)}")
        try:
            source = read_picture(request.images[0])
        except Unscorable as error:
            return error
        return self._made([request.instruction], [request.seed], image=[source])[0]

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image | Exception]:
        return self._made([r.prompt for r in requests], [r.seed for r in requests])

    def _made(
        self, prompts: Sequence[str], seeds: Sequence[int], **given: Any
    ) -> list[Image.Image | Exception]:
        arguments = {**self.arguments, **given}
        if "negative_prompt" in arguments:
            arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(prompts)
        output = self.pipeline(
            prompt=list(prompts),
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type="pil",
            **arguments,
        )
        # A checker replaces what it takes for unsafe by a black image: that is no drawing to mark.
        withheld = getattr(output, "nsfw_content_detected", None) or [False] * len(prompts)
        return [
            Unscorable("the pipeline's safety checker withheld the image") if hidden else image
            for image, hidden in zip(output.images, withheld, strict=True)
        ]


@dataclass(frozen=True)
class Settings:
    """What is None stays the pipeline's own. ``revision``: commit, branch or tag of the hub."""

    device: str | None = None
    dtype: Dtype = "float32"
    cfg: float | None = None
    image_cfg: float | None = None
    true_cfg: float | None = None
    strength: float | None = None
    steps: int | None = None
    image_size: int | None = None
    negative_prompt: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        check_range("cfg", self.cfg, 0)
        check_range("image_cfg", self.image_cfg, 0)
        check_range("true_cfg", self.true_cfg, 0)
        check_range("strength", self.strength, 0, 1)
        check_range("steps", self.steps, 1)
        check_range("image_size", self.image_size, 1)

    def chosen(self) -> dict[str, Any]:
        """Those that are arguments of the pipeline."""
        values = {key: getattr(self, key) for key in ARGUMENTS}
        return {key: value for key, value in values.items() if value is not None}


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError where ``open_model`` would find no weights."""
    _places.check("diffusers", argument, settings.device, settings.revision)


def serves(verb: str, argument: str, settings: Settings) -> bool:
    """Whether the pipeline that a folder, or the hub's cache, names will do it; also where it is
    not known yet."""
    import diffusers
    from huggingface_hub import try_to_load_from_cache

    file: Any = Path(argument) / MODEL_INDEX
    if not Path(argument).is_dir():
        file = try_to_load_from_cache(argument, MODEL_INDEX, revision=settings.revision)
    if not isinstance(file, str | Path):
        return True
    try:
        named = json.loads(Path(file).read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return True  # opening it says what is wrong
    pipeline = getattr(diffusers, str(named), None)
    return verb in verbs(pipeline) if isinstance(pipeline, type) else True


def open_model(argument: str, settings: Settings) -> DiffusersResponder:
    """``diffusers:PLACE``. Raises UserError for what cannot be loaded."""
    try:
        from diffusers import DiffusionPipeline
    except ModuleNotFoundError:
        raise UserError(
            "diffusers:... needs the package diffusers: pip install 'harmon-eval[diffusers]'"
        ) from None
    check_place("diffusers", argument)
    check_folder("diffusers", argument)
    device = best_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            argument, revision=settings.revision, torch_dtype=dtype, use_safetensors=True
        )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{argument} cannot be loaded as a pipeline of diffusers "
            f"({str(error).splitlines()[0]}): give a folder with a model_index.json and "
            "safetensors weights, or a hub id"
        ) from None
    name = argument.rstrip("/").rsplit("/", 1)[-1]
    responder = DiffusersResponder(name, pipeline.to(device), settings.chosen())
    if settings.revision:
        responder.settings["revision"] = settings.revision
    return responder
