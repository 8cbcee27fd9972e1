"""Janus and Janus-Pro under test, through transformers: ``janus:FOLDER_OR_HUB_ID``.

Source of the recipe: deepseek-ai/Janus @ 1daa72f (prompts, guidance, preprocessing); the weights
are those in transformers' format, such as ``deepseek-community/Janus-Pro-1B``.

An image depends on its prompt and seed only: the argmax of guided logits plus Gumbel noise from the
sample's own generator is an exact draw from their softmax (Gumbel-max), whatever else is in the
batch. transformers' own sampling draws the whole batch from one global generator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from transformers import (
    GenerationConfig,
    JanusForConditionalGeneration,
    JanusProcessor,
    LogitsProcessor,
    LogitsProcessorList,
)

from harmon_eval.adapters import _places
from harmon_eval.adapters._folders import check_folder, check_loaded
from harmon_eval.adapters._option_scores import option_scores
from harmon_eval.adapters._torch import (
    Dtype,
    best_device,
    check_place,
    chosen_dtype,
    own_penalties,
    reply_of,
    stopped,
)
from harmon_eval.core import (
    Ask,
    Draw,
    Embed,
    Reply,
    Responder,
    Score,
    Unscorable,
    UserError,
)
from harmon_eval.files.images import read_picture, viewed
from harmon_eval.model.fingerprint import hash_weights
from harmon_eval.settings import check_range

# Written into the prompt as they are; the wrong ones cost Janus-Pro-1B its GenEval score.
ROLES = {"pro": ("<|User|>", "<|Assistant|>"), "plain": ("User", "Assistant")}
CFG, TEMPERATURE = 5.0, 1.0
SHORTEST_SIDE = 14
IMAGE = "<image_placeholder>"


def conversation(content: str, roles: str) -> str:
    """One user turn and the opening of the answer, with an empty system text."""
    user, assistant = ROLES[roles]
    return f"{user}: {content.strip()}\n\n{assistant}:"


def question(request: Ask, roles: str) -> str:
    """The turn of a question: a placeholder and a line break for each image, then the words."""
    return conversation(f"{IMAGE}\n" * len(request.images) + request.question.strip(), roles)


def preprocess(
    image: Image.Image, side: int, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """(3, side, side) float32: the long side resized first, then padded to a square, centred.

    The short side is truncated as in the original (transformers rounds it); the padding has the
    colour of the mean, also truncated."""
    longest = max(image.size)
    width, height = (max(int(length / longest * side), SHORTEST_SIDE) for length in image.size)
    small = image.resize((width, height), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (side, side), tuple(int(255 * value) for value in mean))
    square.paste(small, ((side - width) // 2, (side - height) // 2))
    pixels = torch.from_numpy(np.array(square)).float() / 255  # (side, side, 3)
    return ((pixels - torch.tensor(mean)) / torch.tensor(std)).permute(2, 0, 1)


def to_image(pixels: torch.Tensor) -> Image.Image:
    """(H, W, 3) about -1 to 1, as the original turns it into bytes: clipped and truncated."""
    levels = ((pixels.float() + 1) / 2 * 255).clamp(0, 255)
    return Image.fromarray(levels.cpu().numpy().astype(np.uint8))


class GuidedDraw(LogitsProcessor):
    """Guidance, temperature and each sample's own noise; the argmax of the result is the draw.

    Takes (2 B, V) logits, the conditional half first, and gives (B, V). At temperature 0 the noise
    is left out (greedy). Noise comes from the CPU, so that it is the same on every device."""

    def __init__(self, seeds: Sequence[int], cfg: float, temperature: float) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.cfg = cfg
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        conditional, unconditional = scores.float().chunk(2)
        guided = unconditional + self.cfg * (conditional - unconditional)
        if self.temperature == 0:
            return guided
        uniform = torch.stack(
            [
                torch.rand(guided.shape[-1], generator=generator, dtype=torch.float64)
                for generator in self.generators
            ]
        )
        noise = -torch.log(-torch.log(uniform.clamp_min(torch.finfo(torch.float64).tiny)))
        return guided.double() / self.temperature + noise.to(guided.device)


class JanusResponder(Responder):
    """``roles``: ``pro`` or ``plain``, the names of the speakers in the prompt (see ``ROLES``)."""

    def __init__(
        self,
        name: str,
        model: JanusForConditionalGeneration,
        processor: JanusProcessor,
        roles: str,
        cfg: float = CFG,
        temperature: float = TEMPERATURE,
        max_new_tokens: int | None = None,
    ) -> None:
        """Raises UserError for a tokenizer that Janus cannot work with."""
        self.name, self.model, self.roles = name, model.eval(), roles
        self.tokenizer = processor.tokenizer
        self.cfg, self.temperature, self.limit = cfg, temperature, max_new_tokens
        self.begin, self.end = processor.image_start_token, processor.image_end_token
        self.image_token = processor.image_token
        self.mean = tuple(processor.image_processor.image_mean)
        self.std = tuple(processor.image_processor.image_std)
        vision: Any = model.config.vision_config
        self.side, self.tokens = int(vision.image_size), int(vision.num_image_tokens)
        self.drawing = self._drawing()
        self.fingerprint = hash_weights(model.state_dict())
        self.settings: dict[str, Any] = {
            "cfg_scale": cfg,
            "temperature": temperature,
            "image_size": [self.side, self.side],
            "image_tokens": self.tokens,
            "roles": roles,
            "pixel_mean": list(self.mean),
            "pixel_std": list(self.std),
            **own_penalties(model),
            "dtype": str(model.dtype).removeprefix("torch."),
        }

    def _drawing(self) -> GenerationConfig:
        """Greedy over what ``GuidedDraw`` gives, which has one row a sample.

        A guidance scale of 1 keeps transformers from adding its own; the id of the token that
        begins an image does not survive saving, so it is set here in any case."""
        tokenizer = self.tokenizer
        begin = tokenizer.convert_tokens_to_ids(self.begin)
        ids = {"bos": tokenizer.bos_token_id, "pad": tokenizer.pad_token_id, "image begin": begin}
        if lacking := [name for name, token in ids.items() if token is None]:
            raise UserError(f"{self.name}: its tokenizer has no {lacking[0]} token")
        return GenerationConfig(
            do_sample=False,
            guidance_scale=1.0,
            max_length=self.model.config.text_config.max_position_embeddings,
            bos_token_id=ids["bos"],
            pad_token_id=ids["pad"],
            eos_token_id=tokenizer.eos_token_id,
            generation_kwargs={"boi_token_id": begin},
        )

    def _tokens(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        batch = self.tokenizer(list(texts), padding=True, padding_side="left", return_tensors="pt")
        names = ("input_ids", "attention_mask")
        return {name: batch[name].to(self.model.device) for name in names}

    def _pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        pixels = [preprocess(image, self.side, self.mean, self.std) for image in images]
        return torch.stack(pixels).to(self.model.device, self.model.dtype)

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        texts = [conversation(r.prompt, self.roles) + self.begin for r in requests]
        draws = GuidedDraw([r.seed for r in requests], self.cfg, self.temperature)
        codes = self.model.generate(
            **self._tokens(texts),
            generation_mode="image",
            generation_config=self.drawing,
            logits_processor=LogitsProcessorList([draws]),
        )  # (B, image tokens)
        with torch.inference_mode():
            # One by one: convolutions round differently in a batch, and bytes are truncated.
            return [to_image(self.model.decode_image_tokens(each)[0]) for each in codes.split(1)]

    def _asked(self, requests: Sequence[Ask]) -> dict[str, torch.Tensor]:
        """The turns of questions and their images, as the network takes them."""
        seen = self.begin + self.image_token * self.tokens + self.end
        texts = [
            # Only the placeholders put there for the images, not one that a question may hold.
            question(r, self.roles).replace(IMAGE, seen, len(r.images))
            for r in requests
        ]
        inputs = self._tokens(texts)
        if images := [read_picture(file) for r in requests for file in r.images]:
            inputs["pixel_values"] = self._pixels(images)
        return inputs

    def score(self, requests: Sequence[Score]) -> list[str | Exception]:
        """Probabilities from raw logits; a question is read once for all its options. The prompt
        ends without a space, so forms that begin with one carry most of the mass."""
        answers: list[str | Exception] = []
        for request in requests:
            try:
                inputs = self._asked([Ask(request.question, request.images)])
            except Unscorable as error:
                answers.append(error)
                continue
            with torch.inference_mode():
                read = self.model(**inputs, use_cache=True)
            length, ends = inputs["input_ids"].shape[1], {int(self.tokenizer.eos_token_id)}
            answers.append(option_scores(request, self.model, read, length, self.tokenizer, ends))
        return answers

    def ask(self, requests: Sequence[Ask]) -> list[Reply]:
        """Greedy; each reply ends with its own request's ``max_new_tokens``, or with the setting's
        in place of it."""
        limits = [self.limit or request.max_new_tokens for request in requests]
        inputs = self._asked(requests)
        output = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=max(limits),
            pad_token_id=self.drawing.pad_token_id,
            eos_token_id=self.drawing.eos_token_id,
        )
        new = output[:, inputs["input_ids"].shape[1] :]
        stops = {self.drawing.eos_token_id}
        cut = [row[:limit].tolist() for row, limit in zip(new, limits, strict=True)]
        texts = self.tokenizer.batch_decode(cut, skip_special_tokens=True)
        return [
            reply_of(text.strip(), not stopped(ids, limit, stops), limit)
            for text, ids, limit in zip(texts, cut, limits, strict=True)
        ]

    def embed(self, requests: Sequence[Embed]) -> list[np.ndarray]:
        """Mean over the patches of the vision encoder's last layer (the eyes for understanding)."""
        pixels = self._pixels([viewed(r) for r in requests])
        with torch.inference_mode():
            features = self.model.model.get_image_features(pixels).last_hidden_state  # (B, N, D)
        return list(features.float().mean(dim=1).cpu().numpy())


def _roles(place: str, given: str | None) -> str:
    """As given, or as the name of the weights says. Raises UserError where neither does."""
    if given is not None:
        return given
    if re.search(r"janus[-_. ]?pro", place, re.IGNORECASE):
        return "pro"
    if re.search(r"janus[-_. ]?1\.3b", place, re.IGNORECASE):
        return "plain"
    raise UserError(
        f"janus: {place!r} does not say whether it is Janus-Pro: add ?roles=pro (Janus-Pro) or "
        "?roles=plain (Janus-1.3B)"
    )


@dataclass(frozen=True)
class Settings:
    """``cfg``, the guidance scale, and ``temperature`` (0 is greedy) are those of drawing.

    ``roles``: see ``ROLES``. ``revision``: commit, branch or tag of the hub. ``max_new_tokens``
    stands in for the benchmark's own limit of a reply."""

    device: str | None = None
    dtype: Dtype = "float32"
    cfg: float = CFG
    temperature: float = TEMPERATURE
    roles: Literal["pro", "plain"] | None = None
    revision: str | None = None
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        check_range("max_new_tokens", self.max_new_tokens, 1)
        check_range("cfg", self.cfg, 0)
        check_range("temperature", self.temperature, 0)


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError where ``open_model`` would find no weights."""
    _places.check("janus", argument, settings.device, settings.revision)


def open_model(argument: str, settings: Settings) -> JanusResponder:
    """``janus:PLACE``. Raises UserError for what cannot be used."""
    check_place("janus", argument)
    check_folder("janus", argument)
    roles = _roles(argument, settings.roles)
    device = best_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    revision = settings.revision or "main"
    try:
        processor = JanusProcessor.from_pretrained(argument, revision=revision)
        loaded: Any = JanusForConditionalGeneration.from_pretrained(
            argument,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{argument} cannot be loaded as Janus in transformers' format "
            f"({str(error).splitlines()[0]}): deepseek-ai's own files need converting, take "
            "deepseek-community/Janus-Pro-1B or -7B, or a local copy"
        ) from None
    model, info = loaded
    check_loaded(argument, info)
    responder = JanusResponder(
        argument.rstrip("/").rsplit("/", 1)[-1],
        model.to(device),
        processor,
        roles,
        settings.cfg,
        settings.temperature,
        settings.max_new_tokens,
    )
    if settings.max_new_tokens:
        responder.settings["max_new_tokens"] = settings.max_new_tokens
    if settings.revision:
        responder.settings["revision"] = revision
    return responder
