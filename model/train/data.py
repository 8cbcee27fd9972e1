"""Training data of the bundled model: rendered scenes, with captions and questions about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.harmon import IGNORED_LABEL
from harmon_eval.model.processor import Processor, pad_right
from harmon_eval.model.train.recipe import HarmonRecipe
from harmon_eval.suites.mini import language, scenes
from harmon_eval.suites.mini.scenes import Scene

TIDY, FULL = "tidy", "full"
# Streams of scenes by what they are for: training must never meet what is measured.
VAE_STREAM, HELD_OUT_STREAM, TIDY_STREAM, FULL_STREAM = 1, 2, 11, 12


def stream_scene(seed: int, stream: int, index: int, jitter: float = 1.0) -> Scene:
    """Scene ``index`` of a stream: any process can make any scene."""
    return scenes.sample_scene(np.random.default_rng((seed, stream, index)), jitter)


def pool_scene(recipe: HarmonRecipe, pool: str, index: int) -> Scene:
    if pool == TIDY:
        return stream_scene(recipe.seed, TIDY_STREAM, index, recipe.tidy_jitter)
    return stream_scene(recipe.seed, FULL_STREAM, index)


def to_pixels(images: list[np.ndarray]) -> Tensor:
    """uint8 (H, W, 3) pictures to (B, 3, H, W) in [-1, 1]."""
    # Contiguous, because bfloat16 convolutions on channels-last CPU tensors take twice as long.
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return batch.float() * (2 / 255) - 1


def stream_pixels(seed: int, stream: int, start: int, count: int) -> Tensor:
    indices = range(start, start + count)
    return to_pixels([scenes.render(stream_scene(seed, stream, i)) for i in indices])


@dataclass(frozen=True)
class Batch:
    """Captioned latents (B, m, n, C), and latents (S, m, n, C) with turns of questions (S, T)."""

    prompt_ids: Tensor
    prompt_mask: Tensor
    latents: Tensor
    turn_ids: Tensor
    turn_labels: Tensor
    seen_latents: Tensor


@dataclass(frozen=True)
class BatchMaker:
    """Batch ``step`` of a training: a function of the recipe, the step and its progress only."""

    recipe: HarmonRecipe
    processor: Processor
    config: HarmonConfig
    latents: Mapping[str, Tensor]

    def batch(self, step: int, progress: float) -> Batch:
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, 5, step))
        tidy = max(0.0, 1.0 - progress / recipe.tidy_share) if recipe.tidy_share else 0.0
        drawn = [self._pick(rng, tidy) for _ in range(recipe.generation_batch)]
        seen = [self._pick(rng, tidy) for _ in range(recipe.understanding_batch)]
        prompts = [
            self.processor.unconditional_ids()
            if rng.random() < recipe.unconditional
            else self.processor.generation_ids(
                language.caption(pool_scene(recipe, *place), rng, recipe.full_captions)
            )
            for place in drawn
        ]
        turns = [self._turns(pool_scene(recipe, *place), rng) for place in seen]
        ids, mask = self.processor.batch(prompts)
        return Batch(
            prompt_ids=ids,
            prompt_mask=mask,
            latents=self._latents(drawn),
            turn_ids=pad_right([ids for ids, _ in turns], self.processor.pad_id),
            turn_labels=pad_right([labels for _, labels in turns], IGNORED_LABEL),
            seen_latents=self._latents(seen),
        )

    def _pick(self, rng: np.random.Generator, tidy: float) -> tuple[str, int]:
        pool = TIDY if rng.random() < tidy else FULL
        return pool, int(rng.integers(len(self.latents[pool])))

    def _latents(self, places: list[tuple[str, int]]) -> Tensor:
        return torch.stack([self.latents[pool][index] for pool, index in places])

    def _turns(self, scene: Scene, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Several questions about one picture in one row: the picture is encoded once."""
        _, m, n, _ = self.latents[FULL].shape
        ids: list[int] = []
        labels: list[int] = []
        for question, answer in language.questions(scene, rng, self.recipe.turns):
            places = 0 if ids else m * n + self.config.mar.buffers
            turn_ids, turn_labels = self.processor.training_turn(question, answer, places)
            ids, labels = ids + turn_ids, labels + turn_labels
        return ids, labels
