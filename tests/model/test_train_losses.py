"""The trainer's losses against the release's recorded ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harmon_eval.model.train.batches import MicroBatch
from harmon_eval.model.train.losses import Losses
from tests.vectors import Vectors


def recorded_batch(name: str, inputs: dict[str, Any]) -> MicroBatch:
    """The recorded inputs as the loop would hold them."""
    ids, pixels = inputs["input_ids"], inputs["pixel_values"]
    names = tuple(str(i) for i in range(len(ids)))
    if name == "image2text_loss":
        return MicroBatch(0, "image2text", names, ids, labels=inputs["labels"], pixels=pixels)
    mask = inputs["mask"].bool()
    shape = (-1, *mask.shape)
    return MicroBatch(
        0,
        "text2image",
        names,
        ids,
        mask=inputs["attention_mask"],
        pixels=pixels,
        hidden=mask,
        t=inputs["t"].view(shape),
        noise=inputs["noise"].view(*shape, inputs["noise"].shape[-1]),
    )


@pytest.mark.parametrize(
    ("name", "gradient"),
    [
        ("text2image_loss", "gradient"),
        ("image2text_loss", "gradient_scaled"),
    ],
)
def test_losses_and_gradients_of_a_micro_batch_are_the_releases(
    reference: Any, name: str, gradient: str
) -> None:
    """The visual features' gradient is scaled by 0.1 when questions are answered, and only then."""
    part = reference.part(name)
    batch, outputs = recorded_batch(name, Vectors(part.inputs)), Vectors(part.outputs)
    reference.model.zero_grad()
    loss = Losses(reference.model)(batch)
    loss.backward()
    if "loss" in outputs:
        part.check("loss", loss.detach())
    parameters = reference.model.named_parameters()
    ours = {
        key.replace("head.", "mar.diffloss.net."): torch.zeros_like(p) if p.grad is None else p.grad
        for key, p in parameters
    }
    shared = {key: ours[key] for key in outputs[gradient] if key in ours}
    assert shared
    part.outputs = {gradient: {key: outputs[gradient][key] for key in shared}}
    part.check(gradient, shared)
