"""Training data of the bundled model: rendered scenes, with captions and questions about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.harmon import IGNORED_LABEL
from harmon_eval.model.processor import Processor, pad_right
from harmon_eval.model.train.recipe import HarmonRecipe
from harmon_eval.suites.mini import language, questions, scenes
from harmon_eval.suites.mini.scenes import Scene

# Streams of scenes by what they are for: training must never meet what is measured.
VAE_STREAM, HELD_OUT_STREAM, TRAINING_STREAM = 1, 2, 12


def stream_scene(seed: int, stream: int, index: int) -> Scene:
    """Scene ``index`` of a stream: any process can make any scene.

    Those of the training stream show no combination that is held out."""
    rng = np.random.default_rng((seed, stream, index))
    scene = scenes.sample_scene(rng)
    while stream == TRAINING_STREAM and scenes.unseen(scene):
        scene = scenes.sample_scene(rng)
    return scene


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
    """Captioned latents (B, m, n, C), latents (S, m, n, C) with turns of questions (S, T), and
    turns about scenes that are only told (R, T)."""

    prompt_ids: Tensor
    prompt_mask: Tensor
    latents: Tensor
    turn_ids: Tensor
    turn_labels: Tensor
    seen_latents: Tensor
    told_ids: Tensor
    told_labels: Tensor


@dataclass(frozen=True)
class BatchMaker:
    """Batch ``step`` of a training: a function of the recipe and the step only.

    ``latents`` (N, m, n, C) are those of the first N training scenes."""

    recipe: HarmonRecipe
    processor: Processor
    config: HarmonConfig
    latents: Tensor

    def batch(self, step: int) -> Batch:
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, 5, step))
        drawn = rng.integers(len(self.latents), size=recipe.generation_batch)
        seen = rng.integers(len(self.latents), size=recipe.understanding_batch)
        prompts = [
            self.processor.unconditional_ids()
            if rng.random() < recipe.unconditional
            else self.processor.generation_ids(
                language.caption(self._scene(index), rng, recipe.full_captions)
            )
            for index in drawn
        ]
        turns = [self._turns(self._scene(index), rng) for index in seen]
        ids, mask = self.processor.batch(prompts)
        told_ids, told_labels = self.told(step)
        return Batch(
            prompt_ids=ids,
            prompt_mask=mask,
            latents=self.latents[drawn],
            turn_ids=pad_right([ids for ids, _ in turns], self.processor.pad_id),
            turn_labels=pad_right([labels for _, labels in turns], IGNORED_LABEL),
            seen_latents=self.latents[seen],
            told_ids=told_ids,
            told_labels=told_labels,
        )

    def told(self, step: int) -> tuple[Tensor, Tensor]:
        """Ids and labels (R, T) of turns about scenes that are told in words."""
        rng = np.random.default_rng((self.recipe.seed, 6, step))
        rows = []
        for _ in range(self.recipe.text_batch):
            scene = scenes.sample_scene(rng)
            while scenes.unseen(scene):
                scene = scenes.sample_scene(rng)
            rows.append(self._row(questions.told(scene, rng, self.recipe.turns), 0))
        ids = pad_right([ids for ids, _ in rows], self.processor.pad_id)
        return ids, pad_right([labels for _, labels in rows], IGNORED_LABEL)

    def _scene(self, index: int) -> Scene:
        return stream_scene(self.recipe.seed, TRAINING_STREAM, int(index))

    def _turns(self, scene: Scene, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Several questions about one picture in one row: the picture is encoded once."""
        _, m, n, _ = self.latents.shape
        turns = questions.questions(scene, rng, self.recipe.turns)
        return self._row(turns, m * n + self.config.mar.buffers)

    def _row(self, turns: list[tuple[str, str]], places: int) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        labels: list[int] = []
        for question, answer in turns:
            turn_ids, turn_labels = self.processor.training_turn(
                question, answer, 0 if ids else places
            )
            ids, labels = ids + turn_ids, labels + turn_labels
        return ids, labels
