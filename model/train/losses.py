"""The losses as one module, so that whatever wraps a module for many devices can wrap them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmon_eval.model.harmon import Harmon
from harmon_eval.model.train.batches import MicroBatch
from harmon_eval.model.train.distillation import Teacher
from harmon_eval.model.train.recipe import DRAWN


class Losses(nn.Module):
    """Loss of a micro-batch: a mean over what ``MicroBatch.count`` counts. With a teacher,
    drawings learn from it."""

    def __init__(self, model: Harmon, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.model, self.teacher = model, teacher

    def forward(self, batch: MicroBatch) -> Tensor:
        model = self.model
        latents = self._encoded(batch.latents, batch.pixels)
        if batch.task in DRAWN:
            assert latents is not None and batch.mask is not None and batch.hidden is not None
            assert batch.t is not None and batch.noise is not None
            if self.teacher is not None and batch.task == "text2image":
                return self.teacher.loss(model, batch, latents)
            target = latents, batch.hidden, batch.t.flatten(), batch.noise.flatten(0, 2)
            if batch.task == "text2image":
                return model.text2image_loss(batch.ids, batch.mask, *target)
            if batch.task == "reconstruct":
                return model.edit_loss(batch.ids, batch.mask, latents, *target, condition=False)
            sources = self._encoded(batch.sources, batch.source_pixels)
            assert sources is not None
            return model.edit_loss(batch.ids, batch.mask, sources, *target)
        assert batch.labels is not None
        if batch.task == "image2text":
            assert latents is not None
            return model.image2text_loss(batch.ids, batch.labels, latents)
        # The release lets an empty picture through the encoder here, for the sake of distributed
        # training. Gradients are added up over a whole cycle before processes share them, so that
        # is not needed, and what has no gradient is not decayed either.
        return model.token_loss(model.read(batch.ids, None), batch.labels)

    def _encoded(self, latents: Tensor | None, pixels: Tensor | None) -> Tensor | None:
        if pixels is None:
            return latents
        with torch.no_grad():
            return self.model.vae.encode(pixels).float()
