"""Losses, gradients and masks against the recorded release: see ``test_parity.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from harmon_eval.model import masking
from harmon_eval.model.keys import from_authors
from harmon_eval.model.masking import visible_places

Part = Any  # a part of the recording, see conftest.py
Got = Iterator[tuple[str, Any]]


def gradients(ref: Part, output: str, loss: Tensor) -> dict[str, Tensor]:
    """Of the recorded parameters. One that the loss does not reach has gradient zero."""
    ref.model.zero_grad()
    loss.backward()
    parameters = dict(ref.model.named_parameters())
    named = {}
    for name in ref.outputs.get(output, {}):
        parameter = parameters[from_authors(name)]
        missing = parameter.grad is None
        named[name] = torch.zeros_like(parameter) if missing else parameter.grad.clone()
    return named


@torch.enable_grad()
def image2text_loss(
    ref: Part, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, pixel_values: Tensor
) -> Got:
    encoded = ref.model.vae.encode(pixel_values)
    loss = ref.model.image2text_loss(input_ids, labels, encoded)
    unscaled = ref.model.token_loss(ref.model.read(input_ids, encoded), labels)
    yield "loss", loss.detach()
    yield "gradient_scaled", gradients(ref, "gradient_scaled", loss)
    yield "gradient_unscaled", gradients(ref, "gradient_unscaled", unscaled)


@torch.enable_grad()
def text_only_loss(ref: Part, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Got:
    # The release lets an empty picture through with weight zero; ours reads the text alone, so what
    # that picture passes has no gradient, which is the recorded zero.
    loss = ref.model.token_loss(ref.model.read(input_ids, None), labels)
    yield "gradient", gradients(ref, "gradient", loss)
    yield "loss", loss.detach()


@torch.enable_grad()
def text2image_loss(
    ref: Part,
    input_ids: Tensor,
    attention_mask: Tensor,
    pixel_values: Tensor,
    mask: Tensor,
    t: Tensor,
    noise: Tensor,
) -> Got:
    model, hidden = ref.model, mask.bool()
    encoded, visible = model.vae.encode(pixel_values), visible_places(hidden)
    positions = model.mar.positions((encoded.shape[1], encoded.shape[2]))
    x_enc, z_enc = model.see(encoded.flatten(1, 2), visible, positions)
    prompt = model.llm.get_input_embeddings()(input_ids)
    x_enc = model.join(x_enc, z_enc, attention_mask, prompt)
    z = model.mar.decode(x_enc, visible, positions)
    mse, vb = model.head.loss_terms(z, encoded.flatten(1, 2), t, noise)
    loss = model.text2image_loss(input_ids, attention_mask, encoded, hidden, t, noise)
    yield "latents", encoded
    yield "x_enc", x_enc.detach()
    yield "z", z.detach()
    yield "mse", mse.detach()
    yield "vb", vb.detach()
    yield "loss", loss.detach()
    yield "gradient", gradients(ref, "gradient", loss)


def random_masks(ref: Part, orders: Tensor, mask_rate: float) -> Got:
    ratios = masking.mask_ratios(ref.config.mar)
    yield "quantiles", torch.as_tensor(ratios.ppf([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]))
    yield "mean", float(ratios.mean())
    yield "variance", float(ratios.var())
    yield "mask", masking.hide_first(orders, mask_rate).float()
    for name in ref.outputs:
        if name.startswith("masked_count_"):
            iterations, tokens = (int(word) for word in name.split("_") if word.isdigit())
            yield name, torch.tensor(masking.hidden_counts(tokens, iterations)[:-1])


# By how the names of parts begin.
PARTS: dict[str, Callable[..., Got]] = {
    "image2text_loss": image2text_loss,
    "text_only_loss": text_only_loss,
    "text2image_loss": text2image_loss,
    "masking": random_masks,
}


@torch.no_grad()
def test_every_part_equals_the_release(part: Part) -> None:
    part.compare(PARTS)
