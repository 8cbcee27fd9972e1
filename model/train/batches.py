"""Micro-batches: functions of the recipe and of the place in the training, and of nothing else.

Everything random is drawn by the number of the sample over all processes, so that any number of
processes and any restart see the same training. B rows here, L image tokens, R noise draws, T ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harmon_eval.model.config import HarmonConfig, MARConfig
from harmon_eval.model.harmon import IGNORED_LABEL
from harmon_eval.model.masking import hide_first, mask_ratios
from harmon_eval.model.processor import REPEAT, UNCONDITIONAL, Processor, pad_right
from harmon_eval.model.train.faults import Faults
from harmon_eval.model.train.latents import CachedLatents
from harmon_eval.model.train.recipe import DRAWN, Recipe, Source, TrainingError, samples_before
from harmon_eval.model.train.sources import (
    BROKEN,
    BrokenRow,
    Row,
    Rows,
    StreamedRows,
    shuffled,
    square_crop,
)


@dataclass(frozen=True)
class MicroBatch:
    """This process's rows of one micro-batch.

    ``names`` say which samples they are. Pictures are ``latents`` (B, m, n, C) or ``pixels``
    (B, 3, H, W); those that edits start from are ``sources`` or ``source_pixels``. What is drawn
    has ``mask`` of the prompt (B, T), ``hidden`` (B, L), steps ``t`` (R, B, L) and ``noise``
    (R, B, L, C); the others have ``labels`` (B, T)."""

    source: int
    task: str
    names: tuple[str, ...]
    ids: Tensor
    labels: Tensor | None = None
    mask: Tensor | None = None
    latents: Tensor | None = None
    pixels: Tensor | None = None
    sources: Tensor | None = None
    source_pixels: Tensor | None = None
    hidden: Tensor | None = None
    t: Tensor | None = None
    noise: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def count(self) -> int:
        """What the loss is a mean over: labelled tokens, or rows, which all hide equally many."""
        return len(self) if self.labels is None else int((self.labels[:, 1:] >= 0).sum())

    def rows(self, first: int, last: int) -> MicroBatch:
        """A part of the rows."""
        parts: dict[str, Any] = {
            f.name: value[:, first:last] if f.name in ("t", "noise") else value[first:last]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, names=self.names[first:last], **parts)

    def to(self, device: torch.device) -> MicroBatch:
        moved: dict[str, Any] = {
            f.name: value.to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


def draw_mask(config: MARConfig, ratio_rng: np.random.Generator, orders: np.ndarray) -> Tensor:
    """Hidden places (B, L): one ratio a micro-batch, from a truncated normal (MAR, Harmon)."""
    ratio = mask_ratios(config).rvs(random_state=ratio_rng)
    return hide_first(torch.from_numpy(orders), ratio)


def stratified_steps(count: int, train_steps: int, rng: np.random.Generator) -> Tensor:
    """``count`` diffusion steps, one from each of as many equal parts of the schedule, shuffled."""
    places = (np.arange(count) + rng.random(count)) / count
    return torch.from_numpy((rng.permutation(places) * train_steps).astype(np.int64))


DROPPED = "Edit this image."  # UniPic-1's instruction where the text is dropped
# Where an edit's target comes from if it is the source itself.
OWN_TARGET = {"latents": "sources", "pixels": "source_pixels"}
PICTURES = ("latents", "pixels", "sources", "source_pixels")  # of an example, and of a batch


@dataclass
class _Example:
    name: str
    ids: list[int]
    labels: list[int] | None
    pictures: dict[str, Tensor]  # those of PICTURES that there are


@dataclass(frozen=True)
class BatchMaker:
    """Micro-batches for process ``rank`` of ``world``, which takes every ``world``-th sample."""

    recipe: Recipe
    config: HarmonConfig
    processor: Processor
    rows: Sequence[Rows | StreamedRows]
    caches: Sequence[CachedLatents | None]
    faults: Faults
    rank: int = 0
    world: int = 1

    @property
    def size(self) -> int:
        return self.recipe.image_size or self.config.image_size

    @property
    def grid(self) -> int:
        return self.size // self.config.vae.stride

    def make(self, number: int, step: int, turn: int) -> MicroBatch:
        """Micro-batch ``turn`` of source ``number`` within step ``step``."""
        source = self.recipe.sources[number]
        first = samples_before(self.recipe, number, step) + turn * source.batch
        rows = self.rows[number]
        if isinstance(rows, StreamedRows):
            rows = rows.window(first, source.batch)
        mine = range(self.rank, source.batch, self.world)
        examples = [self._example(number, rows, first, place) for place in mine]
        ids, mask = self.processor.batch([example.ids for example in examples])
        batch = MicroBatch(number, source.task, tuple(e.name for e in examples), ids)
        pictures: dict[str, Any] = {
            name: torch.stack([example.pictures[name] for example in examples])
            for name in PICTURES
            if name in examples[0].pictures
        }
        batch = replace(batch, **pictures)
        if source.task not in DRAWN:
            labels = pad_right([e.labels or [] for e in examples], IGNORED_LABEL)
            return replace(batch, labels=labels)
        hidden, t, noise = self._noise(number, first, mine)
        return replace(batch, mask=mask, hidden=hidden, t=t, noise=noise)

    # -- one example -------------------------------------------------------------------------

    def _example(self, number: int, rows: Rows, first: int, place: int) -> _Example:
        """The sample at ``place``; a broken one is replaced by the next sound one of its batch."""
        source = self.recipe.sources[number]
        for attempt in range(source.batch):
            position = first + (place + attempt) % source.batch
            index = shuffled(self.recipe.seed, number, position, rows.length)
            rng = np.random.default_rng((self.recipe.seed, 5, number, first + place))
            try:
                example = self._prepared(number, index, rows.row(index, rng), rng)
            except BROKEN as error:
                self.faults.add(f"{number}:{index}", f"{type(error).__name__}: {error}")
                continue
            self.faults.seen += 1
            return example
        raise TrainingError(
            f"all {source.batch} samples of a batch of sources.{number} are broken; see "
            f"{self.faults.path}"
        )

    def _prepared(self, number: int, index: int, row: Row, rng: np.random.Generator) -> _Example:
        source = self.recipe.sources[number]
        labels: list[int] | None = None
        plain = source.task in DRAWN and rng.random() < self.recipe.unconditional
        if source.task in DRAWN:
            ids = self._prompt(source, row, plain, rng)
        else:
            ids, labels = self._turns(source, row)
        if (cache := self.caches[number]) is not None:
            pictures = {"latents": cache.at(index)}
            if source.task == "edit":
                pictures["sources"] = cache.at(index, "sources")
        elif row.picture is not None:
            pictures = row_pixels(source, row, self.size, rng)
        else:
            pictures = {}
        if source.task == "edit" and plain:  # the source is its own target
            pictures = {name: pictures[OWN_TARGET.get(name, name)] for name in pictures}
        return _Example(f"{number}:{index}", ids, labels, pictures)

    def _places(self, source: Source) -> int:
        """How many ids of a prompt stand for a picture."""
        shown = source.task not in ("text2image", "text")
        return self.grid**2 + self.config.mar.buffers if shown else 0

    def _prompt(self, source: Source, row: Row, plain: bool, rng: np.random.Generator) -> list[int]:
        """The ids to draw after; ``plain``: those that guidance points away from."""
        make, places = self.processor, self._places(source)
        if source.task == "text2image":
            ids = make.unconditional_ids() if plain else make.generation_ids(row.prompt)
        elif source.task == "reconstruct":
            # RecA keeps the picture where it drops the text.
            ids = make.question_ids(UNCONDITIONAL if plain else row.prompt, places)
        else:
            dropped = source.dropped > 0 and rng.random() < source.dropped
            instruction = REPEAT if plain else DROPPED if dropped else row.prompt
            ids = make.edit_ids(instruction, places)
        return ids[: places + source.max_tokens if source.max_tokens else None]

    def _turns(self, source: Source, row: Row) -> tuple[list[int], list[int]]:
        """All turns in one row: the picture is encoded once."""
        places = self._places(source)
        ids: list[int] = []
        labels: list[int] = []
        for question, answer in row.turns:
            more = self.processor.training_turn(question, answer, 0 if ids else places)
            ids, labels = ids + more[0], labels + more[1]
        limit = places + source.max_tokens if source.max_tokens else None
        ids, labels = ids[:limit], labels[:limit]
        if all(label < 0 for label in labels):
            raise BrokenRow(f"no word of the answer within {source.max_tokens} tokens")
        return ids, labels

    # -- what is random in the diffusion loss ---------------------------------------------------

    def _noise(self, number: int, first: int, mine: range) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden places (B, L), steps (R, B, L) and noise (R, B, L, C) of this process's rows."""
        recipe, tokens = self.recipe, self.grid**2
        draws = recipe.draws or self.config.head.draws_per_token
        train_steps, channels = self.config.head.train_steps, self.config.vae.channels
        shared = np.random.default_rng((recipe.seed, 7, number, first))
        own = [np.random.default_rng((recipe.seed, 8, number, first + place)) for place in mine]
        orders = np.stack([rng.permutation(tokens) for rng in own])
        hidden = draw_mask(self.config.mar, shared, orders)
        if recipe.stratified:
            batch = recipe.sources[number].batch
            t = stratified_steps(draws * batch * tokens, train_steps, shared)
            t = t.view(draws, batch, tokens)[:, list(mine)]
        else:
            steps = [rng.integers(train_steps, size=(draws, tokens)) for rng in own]
            t = torch.from_numpy(np.stack(steps, axis=1))
        shape = (draws, tokens, channels)
        noise = [rng.standard_normal(shape, dtype=np.float32) for rng in own]
        return hidden, t, torch.from_numpy(np.stack(noise, axis=1))


def row_pixels(source: Source, row: Row, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """The pictures of a row (3, size, size) in [-1, 1]: ``pixels``, and an edit's
    ``source_pixels``. Grey padding to see, else a square, at one place for both."""
    assert row.picture is not None
    place = 0.5
    if source.task in DRAWN and source.crop == "random":
        place = rng.random()
    pictures = {"pixels": as_pixels(squared(row.picture(), source, size, place))}
    if source.task == "edit":
        assert row.source is not None
        pictures["source_pixels"] = as_pixels(squared(row.source(), source, size, place))
    return pictures


def squared(image: Image.Image, source: Source, size: int, place: float) -> Image.Image:
    """A picture as a square of ``size``, in the way of its task."""
    if source.task not in DRAWN:
        return Processor.pad_to_square(image).resize((size, size))
    if source.crop == "squeeze":
        return image.resize((size, size))
    return square_crop(image, size, place)


def as_pixels(image: Image.Image) -> Tensor:
    """RGB -> (3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() * 2 / 255 - 1
