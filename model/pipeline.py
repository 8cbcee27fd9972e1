"""The easy way to use Harmon: prompts to images, questions to answers, images to features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harmon_eval.model.fast.drawing import draw_latents
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.fast.replies import generate
from harmon_eval.model.fast.rows import LANES, fill_rows, one_by_one
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.processor import Processor
from harmon_eval.model.sampling import DrawSettings


@dataclass(frozen=True)
class HarmonPipeline:
    """A model with its processor. Methods raise ValueError if the numbers of inputs differ."""

    model: Harmon
    processor: Processor

    def __post_init__(self) -> None:
        fill_rows(self.model)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        kl16: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> HarmonPipeline:
        """Load a bundled name, a folder, a ``.pth`` (with ``kl16.ckpt``) or a hub id.

        Raises CheckpointError."""
        from harmon_eval.model.checkpoint import load

        return load(name_or_path, kl16, device, dtype).pipeline

    def save_pretrained(
        self,
        folder: Path,
        settings: DrawSettings | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write a folder that ``from_pretrained`` can open. An interrupted write leaves nothing."""
        from harmon_eval.model.checkpoint import save

        save(self.model, self.processor, folder, settings, dtype)

    @torch.inference_mode()
    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: DrawSettings | None = None,
        passes: Passes | None = None,
    ) -> list[Image.Image]:
        """One image per prompt. Image i depends only on prompts[i], seeds[i] and the settings.

        ``passes`` made for the same settings can be reused between calls."""
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds")
        settings = settings or DrawSettings()
        rows = [self.processor.generation_ids(prompt) for prompt in prompts]
        if settings.cfg_scale != 1.0:
            rows += [self.processor.unconditional_ids()] * len(prompts)
        ids, mask = (part.to(self.model.device) for part in self.processor.batch(rows, LANES))
        latents = draw_latents(self.model, ids, mask, seeds, settings, passes)
        latents = latents.to(self.model.dtype)
        return self.processor.to_images(one_by_one(self.model.vae.decode, latents))

    def latents(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Images of any size -> latents (B, m, n, C) at the model's own size."""
        pixels = self.processor.pixels(images, self.model.config.image_size)
        pixels = pixels.to(self.model.device, self.model.dtype)
        return one_by_one(self.model.vae.encode, pixels)

    @torch.inference_mode()
    def answer(
        self,
        images: Sequence[Image.Image | None],
        questions: Sequence[str],
        max_new_tokens: int | Sequence[int] = 64,
    ) -> list[str]:
        """Greedy replies, one per question. Use None as the image of a question without one.

        Replies do not depend on each other, and ``max_new_tokens`` may differ between questions.
        Questions of similar length share a batch. If the same image object is given several times,
        it is encoded only once."""
        count = len(questions)
        budgets = [max_new_tokens] * count if isinstance(max_new_tokens, int) else max_new_tokens
        if not len(images) == count == len(budgets):
            raise ValueError(f"{len(images)} images, {count} questions, {len(budgets)} budgets")
        side = self.model.config.image_size // self.model.config.vae.stride
        places = side * side + self.model.config.mar.buffers
        ids = [
            self.processor.question_ids(question, 0 if image is None else places)
            for image, question in zip(images, questions, strict=True)
        ]
        replies = [""] * count
        for shown in (True, False):
            kind = [i for i in range(count) if (images[i] is not None) == shown]
            for part in length_buckets(kind, [len(ids[i]) for i in kind]):
                shown_images = [image for i in part if (image := images[i]) is not None]
                rows, limits = [ids[i] for i in part], [budgets[i] for i in part]
                for i, text in zip(part, self._reply(shown_images, rows, limits), strict=True):
                    replies[i] = text
        return replies

    def _reply(
        self, shown: Sequence[Image.Image], rows: Sequence[Sequence[int]], budgets: Sequence[int]
    ) -> list[str]:
        distinct = list({id(image): image for image in shown}.values())
        numbers = {id(image): i for i, image in enumerate(distinct)}
        ids, mask = (part.to(self.model.device) for part in self.processor.batch(rows, LANES))
        replies = generate(
            self.model,
            ids,
            mask,
            self.latents(distinct) if distinct else None,
            max_new_tokens=budgets,
            stop_ids=self.processor.stop_ids,
            pictures=[numbers[id(image)] for image in shown] if distinct else None,
        )
        return [self.processor.decode(reply) for reply in replies]

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
