"""Harmon for people: prompts to pictures, questions to answers, pictures to features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harmon_eval.model.harmon import Harmon
from harmon_eval.model.processor import Processor
from harmon_eval.model.sampling import DrawSettings, draw_latents


@dataclass(frozen=True)
class HarmonPipeline:
    """A model with its processor. Raises ValueError where numbers of inputs do not match."""

    model: Harmon
    processor: Processor

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        kl16: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> HarmonPipeline:
        """A bundled name, a folder, a ``.pth`` (with ``kl16.ckpt``) or a hub id.

        Raises CheckpointError."""
        from harmon_eval.model.checkpoint import load

        return load(name_or_path, kl16, device, dtype).pipeline

    def save_pretrained(
        self,
        folder: Path,
        settings: DrawSettings | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write a folder that ``from_pretrained`` opens, whole or not at all."""
        from harmon_eval.model.checkpoint import save

        save(self.model, self.processor, folder, settings, dtype)

    @torch.inference_mode()
    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: DrawSettings | None = None,
    ) -> list[Image.Image]:
        """One picture a prompt. Picture i depends on prompts[i] and seeds[i] only."""
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds")
        settings = settings or DrawSettings()
        rows = [self.processor.generation_ids(prompt) for prompt in prompts]
        if settings.cfg_scale != 1.0:
            rows += [self.processor.unconditional_ids()] * len(prompts)
        ids, mask = (part.to(self.model.device) for part in self.processor.batch(rows))
        latents = draw_latents(self.model, ids, mask, seeds, settings)
        return self.processor.to_images(self.model.vae.decode(latents.to(self.model.dtype)))

    def latents(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Pictures of any size to latents (B, m, n, C) of the model's own size."""
        pixels = self.processor.pixels(images, self.model.config.image_size)
        return self.model.vae.encode(pixels.to(self.model.device, self.model.dtype))

    @torch.inference_mode()
    def answer(
        self,
        images: Sequence[Image.Image | None],
        questions: Sequence[str],
        max_new_tokens: int = 64,
    ) -> list[str]:
        """Greedy replies, one a question; None for a question without a picture."""
        if len(images) != len(questions):
            raise ValueError(f"{len(images)} images but {len(questions)} questions")
        replies = [""] * len(questions)
        for shown in (True, False):
            places = [i for i, image in enumerate(images) if (image is not None) == shown]
            if places:
                pictures = [image for image in (images[i] for i in places) if image is not None]
                texts = self._reply(pictures, [questions[i] for i in places], max_new_tokens)
                for i, text in zip(places, texts, strict=True):
                    replies[i] = text
        return replies

    def _reply(
        self, pictures: Sequence[Image.Image], questions: Sequence[str], max_new_tokens: int
    ) -> list[str]:
        latents = self.latents(pictures) if pictures else None
        places = 0
        if latents is not None:
            places = latents.shape[1] * latents.shape[2] + self.model.config.mar.buffers
        ids, mask = self.processor.batch(
            [self.processor.question_ids(question, places) for question in questions]
        )
        device = self.model.device
        stop = self.processor.stop_ids
        replies = self.model.generate(
            ids.to(device), mask.to(device), latents, max_new_tokens, stop
        )
        return [self.processor.decode(reply) for reply in replies]

    @torch.inference_mode()
    def embed(
        self, images: Sequence[Image.Image], layer: int = -1, pool: str = "image"
    ) -> np.ndarray:
        """Features (B, D) float32 of the shared encoder, for linear probing."""
        return self.model.features(self.latents(images), layer, pool).cpu().numpy()
