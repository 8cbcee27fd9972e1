"""The trainer's losses against the release's recorded ones."""

from __future__ import annotations

from typing import Any

import pytest

from harmon_eval.model.train.batches import MicroBatch
from harmon_eval.model.train.losses import Losses


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
    inputs, outputs = reference.parts[name]["inputs"], reference.parts[name]["outputs"]
    reference.model.zero_grad()
    loss = Losses(reference.model)(recorded_batch(name, inputs))
    loss.backward()
    reference.part(name).check("loss", loss.detach())
    parameters = reference.model.named_parameters()
    ours = {key.replace("head.", "mar.diffloss.net."): p.grad for key, p in parameters}
    recorded = outputs[gradient]
    shared = {key: ours[key] for key in recorded if key in ours}
    assert shared
    for key, got in shared.items():
        error = float((got - recorded[key]).abs().max())
        tolerance = float(reference.parts[name]["tolerance"][gradient][key])
        assert error <= 10 * tolerance + 1e-6, key
