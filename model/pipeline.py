"""The easy way to use Harmon: prompts to images, questions to answers, images to features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harmon_eval.model.arguments import (
    check_images,
    check_list,
    check_settings,
    check_texts,
    whole_number,
    whole_seeds,
)
from harmon_eval.model.fast.drawing import draw_latents
from harmon_eval.model.fast.passes import Passes, Sources
from harmon_eval.model.fast.replies import generate
from harmon_eval.model.fast.rows import LANES, fill_rows, one_by_one
from harmon_eval.model.fast.scoring import score_options
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.processor import REPEAT, Processor
from harmon_eval.model.sampling import FAST, DrawSettings


@dataclass(frozen=True)
class HarmonPipeline:
    """A model with its processor, and how it draws and edits where no settings are given: as its
    folder says, else as published.

    Methods raise ValueError if the numbers of inputs differ, and ArgumentError (a TypeError and a
    ValueError) for an argument of the wrong type; the message names the argument."""

    model: Harmon
    processor: Processor
    drawing: DrawSettings = field(default_factory=DrawSettings)

    def __post_init__(self) -> None:
        fill_rows(self.model)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        kl16: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        fast: bool = False,
    ) -> HarmonPipeline:
        """Load a bundled name, a folder, a ``.pth`` (with ``kl16.ckpt``) or a hub id. ``fast``:
        its distilled weights, where it has them, else its own in fewer steps.

        Raises CheckpointError."""
        from harmon_eval.model.checkpoint import load

        loaded = load(name_or_path, kl16, device, dtype, fast=fast)
        if fast and not loaded.distilled:
            return replace(loaded.pipeline, drawing=FAST.than(loaded.draw_settings))
        return loaded.pipeline

    def save_pretrained(
        self,
        folder: Path,
        settings: DrawSettings | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write a folder that ``from_pretrained`` can open. An interrupted write leaves nothing."""
        from harmon_eval.model.checkpoint import save

        save(self.model, self.processor, folder, settings or self.drawing, dtype)

    @torch.inference_mode()
    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: DrawSettings | None = None,
        passes: Passes | None = None,
    ) -> list[Image.Image]:
        """One image per prompt. Image i depends only on prompts[i], seeds[i] and the settings.

        ``passes`` made for the same settings can be reused between calls. Raises ValueError for an
        empty prompt."""
        check_texts("prompts", prompts, "what to draw")
        seeds = whole_seeds(seeds)
        check_settings(settings)
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds")
        settings = settings or self.drawing
        rows = [self.processor.generation_ids(prompt) for prompt in prompts]
        if settings.cfg_scale != 1.0:
            rows += [self.processor.unconditional_ids()] * len(prompts)
        ids, mask = (part.to(self.model.device) for part in self.processor.batch(rows, LANES))
        latents = draw_latents(self.model, ids, mask, seeds, settings, passes)
        latents = latents.to(self.model.dtype)
        return self.processor.to_images(one_by_one(self.model.vae.decode, latents))

    @torch.inference_mode()
    def edit(
        self,
        sources: Sequence[Image.Image],
        instructions: Sequence[str],
        seeds: Sequence[int],
        settings: DrawSettings | None = None,
        passes: Passes | None = None,
    ) -> list[Image.Image]:
        """One image per source and instruction, as UniPic-1 edits (arXiv 2508.03320): the source is
        in the prompt and fills what is still hidden; guidance points away from "Repeat this
        image." with the same source.

        Image i depends only on sources[i], instructions[i], seeds[i] and the settings. Sources are
        cropped at the centre to the shape of the result. If the same image object is given several
        times, it is encoded and read only once. ``passes`` are as in ``draw``. Alpha and
        EXIF orientation are ignored. Raises ValueError for an image that is not of 8 bit, and for
        an instruction that is empty or too long for the model."""
        check_images("sources", sources)
        check_texts("instructions", instructions, "what to change")
        seeds = whole_seeds(seeds)
        check_settings(settings)
        if not len(sources) == len(instructions) == len(seeds):
            raise ValueError(
                f"{len(sources)} sources, {len(instructions)} instructions, {len(seeds)} seeds"
            )
        if not seeds:
            return []
        settings = (settings or self.drawing).for_edits()
        rows, columns = settings.grid(self.model)
        ids = self._edit_ids(instructions, rows * columns, settings.cfg_scale != 1.0)
        distinct = list({id(image): image for image in sources}.values())
        numbers = {id(image): i for i, image in enumerate(distinct)}
        stride = self.model.config.vae.stride
        pixels = self.processor.cropped_pixels(distinct, rows * stride, columns * stride)
        seen = Sources(self._encoded(pixels), [numbers[id(image)] for image in sources])
        latents = draw_latents(self.model, *ids, seeds, settings, passes, seen)
        latents = latents.to(self.model.dtype)
        return self.processor.to_images(one_by_one(self.model.vae.decode, latents))

    def _edit_ids(
        self, instructions: Sequence[str], tokens: int, guided: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Right-padded ids and mask of edits of images of so many tokens: (B, T), or (2B, T)."""
        places = tokens + self.model.config.mar.buffers
        rows = [self.processor.edit_ids(instruction, places) for instruction in instructions]
        if guided:
            rows += [self.processor.edit_ids(REPEAT, places)] * len(rows)
        longest = max(len(row) for row in rows) + places
        if longest > (most := self.model.config.llm.max_position_embeddings):
            raise ValueError(
                f"the instruction and two images of {places} places are {longest} tokens, more "
                f"than the model's {most}: shorten the instruction or draw smaller images"
            )
        ids, mask = self.processor.batch(rows, LANES)
        return ids.to(self.model.device), mask.to(self.model.device)

    def latents(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Images of any size -> latents (B, m, n, C) at the model's own size."""
        check_images("images", images)
        return self._encoded(self.processor.pixels(images, self.model.config.image_size))

    def _encoded(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents (B, m, n, C) of pixels (B, 3, H, W)."""
        pixels = pixels.to(self.model.device, self.model.dtype)
        return one_by_one(self.model.vae.encode, pixels)

    @torch.inference_mode()
    def answer(
        self,
        images: Sequence[Image.Image | None],
        questions: Sequence[str],
        max_new_tokens: int | Sequence[int] = 64,
        repetition_penalty: float = 1.0,
    ) -> list[str]:
        """Greedy replies, one per question. Use None as the image of a question without one.

        Replies do not depend on each other, and ``max_new_tokens`` may differ between questions.
        Questions of similar length share a batch. If the same image object is given several times,
        it is encoded only once. ``repetition_penalty`` above 1 makes words that were said less
        likely; the authors' scripts answer with Qwen's, 1.1."""
        found = self.replies(images, questions, max_new_tokens, repetition_penalty)
        return [text for text, _ in found]

    @torch.inference_mode()
    def replies(
        self,
        images: Sequence[Image.Image | None],
        questions: Sequence[str],
        max_new_tokens: int | Sequence[int] = 64,
        repetition_penalty: float = 1.0,
    ) -> list[tuple[str, bool]]:
        """As ``answer``, each with whether it was cut: it has all its tokens and no stop."""
        check_images("images", images, optional=True)
        check_texts("questions", questions)
        count = len(questions)
        if isinstance(max_new_tokens, Sequence):
            budgets = [
                whole_number(f"max_new_tokens[{i}]", one) for i, one in enumerate(max_new_tokens)
            ]
        else:
            budgets = [whole_number("max_new_tokens", max_new_tokens)] * count
        if not len(images) == count == len(budgets):
            raise ValueError(f"{len(images)} images, {count} questions, {len(budgets)} budgets")
        ids = [
            self.processor.question_ids(question, 0 if image is None else self._places())
            for image, question in zip(images, questions, strict=True)
        ]
        replies = [("", False)] * count
        for shown in (True, False):
            kind = [i for i in range(count) if (images[i] is not None) == shown]
            for part in length_buckets(kind, [len(ids[i]) for i in kind]):
                shown_images = [image for i in part if (image := images[i]) is not None]
                rows, limits = [ids[i] for i in part], [budgets[i] for i in part]
                given = self._reply(shown_images, rows, limits, repetition_penalty)
                for i, found in zip(part, given, strict=True):
                    replies[i] = found
        return replies

    @torch.inference_mode()
    def logprobs(
        self,
        images: Sequence[Image.Image | None],
        questions: Sequence[str],
        options: Sequence[Sequence[str]],
    ) -> tuple[np.ndarray, list[list[list[float]]]]:
        """How likely replies are: natural log-probabilities of raw logits, float32.

        The first part is (B, vocabulary), for the first token of a reply. The second holds for each
        question and each of its options the tokens of the option as the whole reply, its end
        included. Questions do not depend on each other."""
        check_images("images", images, optional=True)
        check_texts("questions", questions)
        check_list("options", options)
        for number, texts in enumerate(options):
            check_texts(f"options[{number}]", texts)
        if not len(images) == len(questions) == len(options):
            raise ValueError(f"{len(images)} images, {len(questions)} questions, {len(options)}")
        rows = [
            self.processor.question_ids(question, 0 if image is None else self._places())
            for image, question in zip(images, questions, strict=True)
        ]
        wanted = [[self.processor.reply_ids(text) for text in own] for own in options]
        first: list[np.ndarray | None] = [None] * len(rows)
        scores: list[list[list[float]]] = [[] for _ in rows]
        for shown in (True, False):
            kind = [i for i in range(len(rows)) if (images[i] is not None) == shown]
            for part in length_buckets(kind, [len(rows[i]) for i in kind]):
                latents, pictures = self._shown([im for i in part if (im := images[i])])
                batch = self.processor.batch([rows[i] for i in part], LANES)
                ids, mask = (own.to(self.model.device) for own in batch)
                own = [wanted[i] for i in part]
                begun, found = score_options(self.model, ids, mask, latents, own, pictures)
                for place, i in enumerate(part):
                    first[i], scores[i] = begun[place].cpu().numpy(), found[place]
        return np.stack([own for own in first if own is not None]), scores

    def _places(self) -> int:
        side = self.model.config.image_size // self.model.config.vae.stride
        return side * side + self.model.config.mar.buffers

    def _shown(self, images: Sequence[Image.Image]) -> tuple[torch.Tensor | None, list[int] | None]:
        """Latents of the distinct images, and which of them each is; None without images."""
        if not images:
            return None, None
        distinct = list({id(image): image for image in images}.values())
        numbers = {id(image): i for i, image in enumerate(distinct)}
        return self.latents(distinct), [numbers[id(image)] for image in images]

    def _reply(
        self,
        shown: Sequence[Image.Image],
        rows: Sequence[Sequence[int]],
        budgets: Sequence[int],
        repetition_penalty: float,
    ) -> list[tuple[str, bool]]:
        latents, pictures = self._shown(shown)
        ids, mask = (part.to(self.model.device) for part in self.processor.batch(rows, LANES))
        replies = generate(
            self.model,
            ids,
            mask,
            latents,
            max_new_tokens=budgets,
            stop_ids=self.processor.stop_ids,
            pictures=pictures,
            repetition_penalty=repetition_penalty,
        )
        return [
            (self.processor.decode(reply), len(reply) >= budget)
            for reply, budget in zip(replies, budgets, strict=True)
        ]

    @torch.inference_mode()
    def embed(
        self, images: Sequence[Image.Image], layer: int = -1, pool: str = "image"
    ) -> np.ndarray:
        """Features (B, D) float32 from the shared encoder, for linear probing."""
        return self.model.features(self.latents(images), layer, pool).cpu().numpy()

    @torch.inference_mode()
    def embed_layers(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Features of every block and of the output: (B, N + 1, 2, D), where 2 stands for the means
        over image tokens and over buffers."""
        return self.model.layer_features(self.latents(images)).cpu().numpy()


def length_buckets(items: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Group items by length, in ascending order, so that batches contain little padding.

    In a group, the longest item is at most a quarter longer than the shortest."""
    buckets: list[list[int]] = []
    shortest = 0
    for length, item in sorted(zip(lengths, items, strict=True)):
        if not buckets or 4 * length > 5 * shortest:
            buckets.append([])
            shortest = length
        buckets[-1].append(item)
    return buckets
