"""The losses as one module, so that whatever wraps a module for many devices can wrap them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmon_eval.model.harmon import Harmon
from harmon_eval.model.train.batches import MicroBatch


class Losses(nn.Module):
    """Loss of a micro-batch: a mean over what ``MicroBatch.count`` counts."""

    def __init__(self, model: Harmon) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: MicroBatch) -> Tensor:
        model, latents = self.model, batch.latents
        if batch.pixels is not None:
            with torch.no_grad():
                latents = model.vae.encode(batch.pixels).float()
        if batch.task == "text2image":
            assert latents is not None and batch.mask is not None and batch.hidden is not None
            assert batch.t is not None and batch.noise is not None
            noise = batch.noise.flatten(0, 2)
            t = batch.t.flatten()
            return model.text2image_loss(batch.ids, batch.mask, latents, batch.hidden, t, noise)
        assert batch.labels is not None
        if batch.task == "image2text":
            assert latents is not None
            return model.image2text_loss(batch.ids, batch.labels, latents)
        # The release lets an empty picture through the encoder here, for the sake of distributed
        # training. Gradients are added up over a whole cycle before processes share them, so that
        # is not needed, and what has no gradient is not decayed either.
        return model.token_loss(model.read(batch.ids, None), batch.labels)
