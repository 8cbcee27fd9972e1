"""The mini world as training data: rendered scenes, with captions and questions about them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harmon_eval.model.train.recipe import RecipeError, Source
from harmon_eval.model.train.sources import Row
from harmon_eval.suites.mini import edits, instructions, language, questions, scenes
from harmon_eval.suites.mini.edits import MiniEdit
from harmon_eval.suites.mini.scenes import Scene

# Streams of scenes by what they are for: training must never meet what is measured.
VAE_STREAM, HELD_OUT_STREAM, TRAINING_STREAM, TOLD_STREAM = 1, 2, 12, 13
EDIT_STREAM, HELD_OUT_EDIT_STREAM = 14, 15
# Named splits: stream, and whether its scenes show a combination held out from training.
SPLITS: dict[str, tuple[int, bool]] = {
    "train": (TRAINING_STREAM, False),
    "told": (TOLD_STREAM, False),
    "seen": (HELD_OUT_STREAM, False),
    "unseen": (HELD_OUT_STREAM, True),
}


# Kinds of edit in turn. Those that are hardest to learn come twice.
EDITS = (*edits.KINDS, "move", "resize", "replace", "hybrid")


def split_edit(seed: int, split: str, index: int) -> MiniEdit:
    """Edit ``index`` of a split, which shows held-out combinations as ``split_scene`` does."""
    _, unseen = _split(split)
    stream = EDIT_STREAM if split == "train" else HELD_OUT_EDIT_STREAM
    rng = np.random.default_rng((seed, stream, index))
    return edits.sample_edit(rng, EDITS[index % len(EDITS)], unseen=unseen)


def _split(name: str) -> tuple[int, bool]:
    if name not in SPLITS:
        raise RecipeError(f"split must be one of {', '.join(SPLITS)}, not {name!r}")
    return SPLITS[name]


def split_scene(seed: int, split: str, index: int, crowded: float = 0.0) -> Scene:
    """Scene ``index`` of a split: any process can make any scene.

    Scenes of ``train`` and ``seen`` show no held-out combination of colour and shape, number and
    shape, or relation; every scene of ``unseen`` shows one. A share ``crowded`` shows three or four
    objects that all differ in colour and shape."""
    stream, unseen = _split(split)
    rng = np.random.default_rng((seed, stream, index))
    many = crowded > 0 and rng.random() < crowded
    while True:
        scene = crowd(rng) if many else scenes.sample_scene(rng)
        if scenes.unseen(scene) == unseen:
            return scene


def crowd(rng: np.random.Generator) -> Scene:
    """Three or four objects of different colours and shapes."""
    return edits.scene_of(rng, edits.distinct_kinds(rng, int(rng.integers(3, 5))))


def to_pixels(images: list[np.ndarray]) -> Tensor:
    """uint8 (H, W, 3) pictures to (B, 3, H, W) in [-1, 1]."""
    # Contiguous, because bfloat16 convolutions on channels-last CPU tensors take twice as long.
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return batch.float() * (2 / 255) - 1


def stream_pixels(seed: int, stream: int, start: int, count: int) -> Tensor:
    """Pictures of any scenes, held-out combinations among them: for the VAE."""
    return to_pixels(
        [
            scenes.render(scenes.sample_scene(np.random.default_rng((seed, stream, i))))
            for i in range(start, start + count)
        ]
    )


class SceneRows:
    """The first ``source.scenes`` scenes of a split, as rows with pictures of ``size``. Text is
    about scenes that are told in words and never shown, of which there is no end."""

    def __init__(self, source: Source, seed: int, size: int = scenes.SIDE) -> None:
        self.source, self.seed, self.size = source, seed, size
        self.length = None if source.task == "text" else source.scenes

    def row(self, index: int, rng: np.random.Generator) -> Row:
        source = self.source
        if source.task == "text":
            return Row(turns=tuple(self._text(index, rng)))
        if source.task == "edit":
            edit = split_edit(self.seed, source.split, index)
            return Row(
                instructions.word(edit.demands, rng),  # other words every time
                picture=lambda: Image.fromarray(scenes.render(edit.target, self.size)),
                source=lambda: Image.fromarray(scenes.render(edit.source, self.size)),
            )
        scene = split_scene(self.seed, source.split, index, source.crowded)
        if source.task == "reconstruct":
            return Row(language.DESCRIBE, picture=lambda: self.picture(index))
        if source.task == "text2image":
            caption = language.caption(scene, rng, source.full_captions, source.open_pairs)
            return Row(caption, picture=lambda: self.picture(index))
        if source.drilled > 0 and rng.random() < source.drilled:
            turns = questions.lettered_only(scene, rng, source.turns)
        else:
            turns = questions.questions(scene, rng, source.turns, lettered=source.lettered)
        return Row(turns=tuple(turns), picture=lambda: self.picture(index))

    def _text(self, index: int, rng: np.random.Generator) -> list[tuple[str, str]]:
        source = self.source
        drilled = source.drilled > 0 and rng.random() < source.drilled
        if drilled and rng.random() < 0.5:
            return questions.matched(rng, source.turns)
        scene = split_scene(self.seed, "told" if source.split == "train" else "unseen", index)
        return questions.told(scene, rng, source.turns, source.lettered, drilled)

    def picture(self, index: int) -> Image.Image:
        source = self.source
        scene = split_scene(self.seed, source.split, index, source.crowded)
        return Image.fromarray(scenes.render(scene, self.size))
