"""Any vision-language model of transformers (``AutoModelForImageTextToText``): ``vlm:PATH``.

Answers questions greedily with the chat template of its own processor; as a judge too. Weights are
read from safetensors, remote code is never run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from harmon_eval.adapters import _places
from harmon_eval.adapters._folders import check_folder, check_loaded, weights_hash
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
from harmon_eval.core import Ask, Reply, Responder, Score, Unscorable, UserError
from harmon_eval.files.images import read_picture
from harmon_eval.replies.thoughts import thought_begun
from harmon_eval.settings import check_range


class VisionLanguageResponder(Responder):
    def __init__(
        self,
        name: str,
        model: Any,
        processor: Any,
        fingerprint: str,
        max_new_tokens: int | None = None,
        revision: str | None = None,
    ) -> None:
        """Raises UserError for a processor without a chat template."""
        if not getattr(processor, "chat_template", None):
            raise UserError(f"{name} has no chat template: add chat_template.jinja to its folder")
        self.name, self.fingerprint = name, fingerprint
        self.model, self.processor = model.eval(), processor
        # Right padding would put pads between a prompt and its answer.
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        self.settings = {
            "decoding": "greedy",
            **own_penalties(model),
            "dtype": str(model.dtype).removeprefix("torch."),
            **({"revision": revision} if revision else {}),
        }
        self.limit = max_new_tokens
        if max_new_tokens:
            self.settings["max_new_tokens"] = max_new_tokens

    def ask(self, requests: Sequence[Ask]) -> list[str | Exception]:
        """Replies in order. Requests with and without images go in batches of their own."""
        replies: list[str | Exception] = [Unscorable("not asked")] * len(requests)
        ready: dict[bool, list[tuple[int, Ask, list[Any]]]] = {True: [], False: []}
        for place, request in enumerate(requests):
            try:
                files = [part for part in request.parts() if isinstance(part, Path)]
                images = [read_picture(path) for path in files]
            except Unscorable as error:
                replies[place] = error
                continue
            ready[bool(images)].append((place, request, images))
        for batch in filter(None, ready.values()):
            texts = self._generate([request for _, request, _ in batch], [i for *_, i in batch])
            for (place, _, _), text in zip(batch, texts, strict=True):
                replies[place] = text
        return replies

    def score(self, requests: Sequence[Score]) -> list[str | Exception]:
        """Probabilities from raw logits; a question is read once for all its options."""
        answers: list[str | Exception] = []
        for request in requests:
            try:
                images = [read_picture(path) for path in request.images]
                answers.append(self._scored(request, images))
            except Unscorable as error:
                answers.append(error)
        return answers

    @torch.inference_mode()
    def _scored(self, request: Score, images: list[Any]) -> str | Exception:
        tokenizer = self.processor.tokenizer
        asked = Ask(request.question, request.images, system=request.system)
        text = self.processor.apply_chat_template(
            conversation(asked), add_generation_prompt=True, tokenize=False
        )
        shown = {"images": [images]} if images else {}
        inputs = self.processor(text=[text], return_tensors="pt", **shown)
        inputs = inputs.to(self.model.device, dtype=self.model.dtype)
        read = self.model(**inputs, use_cache=True)
        length = inputs["input_ids"].shape[1]
        return option_scores(request, self.model, read, length, tokenizer, self._stops())

    def _stops(self) -> set[int]:
        """The tokens that end a reply."""
        ends = getattr(self.model.generation_config, "eos_token_id", None)
        ids = ends if isinstance(ends, list) else [ends]
        return {i for i in (*ids, self.processor.tokenizer.eos_token_id) if i is not None}

    def _generate(self, requests: Sequence[Ask], images: Sequence[list[Any]]) -> list[Reply]:
        texts = [
            self.processor.apply_chat_template(
                conversation(request), add_generation_prompt=True, tokenize=False
            )
            for request in requests
        ]
        shown = {"images": list(images)} if images[0] else {}
        # Some templates begin the thought, so that the reply goes on with it.
        thoughts = [thought_begun(text) for text in texts]
        inputs = self.processor(text=texts, padding=True, return_tensors="pt", **shown)
        inputs = inputs.to(self.model.device, dtype=self.model.dtype)
        limits = [self.limit or request.max_new_tokens for request in requests]
        with torch.inference_mode():
            tokens = self.model.generate(
                **inputs,
                do_sample=False,
                num_beams=1,
                max_new_tokens=max(limits),
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )
        new = tokens[:, inputs["input_ids"].shape[1] :]
        # Greedy decoding: a smaller limit is a beginning of the same tokens.
        cut = [row[:limit].tolist() for row, limit in zip(new, limits, strict=True)]
        said = self.processor.tokenizer.batch_decode(cut, skip_special_tokens=True)
        stops = self._stops()
        return [
            reply_of(f"{thought}{text.strip()}", not stopped(ids, limit, stops), limit)
            for thought, text, ids, limit in zip(thoughts, said, cut, limits, strict=True)
        ]


def conversation(request: Ask) -> list[dict[str, Any]]:
    """The turns of a request, images before the question or in the places of their markers."""
    content: list[dict[str, Any]] = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
        for part in request.parts()
    ]
    turns = [{"role": "user", "content": content}]
    if request.system:
        system = [{"type": "text", "text": request.system}]
        turns.insert(0, {"role": "system", "content": system})
    return turns


@dataclass(frozen=True)
class Settings:
    """``max_new_tokens`` stands in for the benchmark's own limit, for models that think first.
    ``revision``: commit, branch or tag of the hub."""

    REFUSES: ClassVar[str] = "decoding is greedy"

    device: str | None = None
    dtype: Dtype = "float32"
    max_new_tokens: int | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        check_range("max_new_tokens", self.max_new_tokens, 1)


def find_weights(argument: str, settings: Settings) -> None:
    """Raises UserError where ``open_model`` would find no weights."""
    _places.check("vlm", argument, settings.device, settings.revision)


def open_model(argument: str, settings: Settings) -> VisionLanguageResponder:
    """``vlm:FOLDER`` or ``vlm:HUB/ID``. Raises UserError for what cannot be loaded."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    check_place("vlm", argument)
    device = best_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    folder = _folder(argument, settings.revision)
    check_folder("vlm", folder)
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except ImportError as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(
            f"{argument} needs a package ({line}): pip install 'harmon-eval[vlm]'"
        ) from None
    except (OSError, ValueError, KeyError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{argument} is no vision-language model of transformers: {line}") from None
    model, info = loaded
    check_loaded(argument, info)
    name = f"vlm:{argument.rstrip('/').rsplit('/', 1)[-1]}"
    return VisionLanguageResponder(
        name,
        model.to(device),
        processor,
        weights_hash(folder),
        settings.max_new_tokens,
        settings.revision,
    )


def _folder(argument: str, revision: str | None) -> Path:
    if Path(argument).is_dir():
        return Path(argument)
    from huggingface_hub import snapshot_download

    unread = ["*.bin", "*.pth", "*.pt", "*.py"]
    try:
        return Path(snapshot_download(argument, revision=revision, ignore_patterns=unread))
    except (OSError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"no folder and no hub id {argument!r} ({line}): give vlm:PATH") from None
