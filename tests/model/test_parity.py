"""Every part of Harmon against the recorded release of the authors, on small random weights.

Here: VAE, encoder, LLM, decoder and replies; ``test_parity_drawing.py`` and
``test_parity_training.py`` have the rest. What is recorded, and how: tests/fixtures/README.md. The
recording is loaded, through the users' conversion function, and compared in conftest.py.
``pytest tests/model -k parity -v`` prints the table of docs/model.md: the largest error of each
output beside its tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model.fast.llm import KeysAndValues, prefill
from harmon_eval.model.fast.passes import join as join_cached
from harmon_eval.model.fast.replies import generate
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.llm import counted_positions
from harmon_eval.model.masking import visible_places
from tests.model.conftest import kind_of

Part = Any  # a part of the recording, see conftest.py
Got = Iterator[tuple[str, Any]]


def joined(
    model: Harmon, x: Tensor, z: Tensor, mask: Tensor, prompt: Tensor | KeysAndValues
) -> Tensor:
    """Behind a prompt as embeddings, or as keys and values read before."""
    join = join_cached if isinstance(prompt, KeysAndValues) else Harmon.join
    return join(model, x, z, mask, prompt)


def vae(ref: Part, image: Tensor, latent: Tensor, noise: Tensor) -> Got:
    model, scale = ref.model.vae, ref.config.vae.scale
    mean, log_variance = model.moments(image)
    yield "encoder_output", model.encoder(image)
    yield "moments", torch.cat([mean, log_variance], dim=1)
    yield "mode", mean
    yield "std", (0.5 * log_variance).exp()
    yield "sample", mean + (0.5 * log_variance).exp() * noise
    yield "decoder_input", model.post_quant_conv(latent)
    yield "decoded", model.decode(latent.permute(0, 2, 3, 1) * scale)
    yield "reconstruction", model.decode(model.encode(image))


def latents(ref: Part, image: Tensor) -> Got:
    encoded = ref.model.vae.encode(image)
    kept = encoded.clone()
    yield "decoded", ref.model.vae.decode(encoded)
    yield "latents", encoded
    assert torch.equal(encoded, kept), "decoding changed its argument"


def position_embedding(ref: Part, grids: Tensor) -> Got:
    tables = [ref.model.mar.positions((m, n)) for m, n in grids.tolist()]
    yield "encoder", [table.encoder for table in tables]
    yield "decoder", [table.decoder for table in tables]
    yield "diffusion", [table.diffusion for table in tables]


def encoder(ref: Part, latents: Tensor, mask: Tensor, grid: list[int]) -> Got:
    positions = ref.model.mar.positions((grid[0], grid[1]))
    x_enc, z_enc = ref.model.see(latents.flatten(1, 2), visible_places(mask.bool()), positions)
    yield from (("mae_encoder", x_enc), ("x_enc", x_enc))
    yield "z_enc", z_enc


def llm_cache(ref: Part, input_ids: Tensor, attention_mask: Tensor, x: Tensor) -> Got:
    model, length = ref.model, input_ids.shape[1]
    embeddings = model.llm.get_input_embeddings()(input_ids)
    hidden = model.llm.model(embeddings)
    cache = prefill(model.llm, input_ids)
    yield "inputs_embeds", embeddings
    yield "prefill_hidden", hidden
    yield "prefill_logits", model.llm.lm_head(hidden)
    yield "keys", list(cache.held[:, 0])
    yield "values", list(cache.held[:, 1])
    full = F.pad(attention_mask, (0, x.shape[1]), value=1)
    yield "full_attention_mask", full.bool()
    yield "position_ids", counted_positions(full)[:, length:]
    yield "uncached_position_ids", counted_positions(full)
    # ``join`` hands the hidden states, buffers moved back to the front, to proj_out.
    for name, prompt in (("hidden", cache), ("hidden", cache), ("uncached_hidden", embeddings)):
        seen: list[Tensor] = []
        hook = model.proj_out.register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[0])
        )
        joined(model, x.new_zeros(*x.shape[:2], ref.config.mar.width), x, attention_mask, prompt)
        hook.remove()
        yield name, seen[0].roll(-ref.config.mar.buffers, dims=1)
    yield "cache_length_after_curtail", cache.length


def position_ids(ref: Part, attention_mask: Tensor, image_length: int) -> Got:
    full = F.pad(attention_mask, (0, image_length), value=1)
    yield "attention_mask", full.bool()
    yield "position_ids", counted_positions(full)


def joint_encoder(
    ref: Part,
    input_ids: Tensor,
    attention_mask: Tensor,
    latents: Tensor,
    mask: Tensor,
    grid: list[int],
) -> Got:
    model, visible = ref.model, visible_places(mask.bool())
    positions = model.mar.positions((grid[0], grid[1]))
    x_enc, z_enc = model.see(latents.flatten(1, 2), visible, positions)
    yield "x_enc_before", x_enc
    yield "z_enc", z_enc
    for prompt in (prefill(model.llm, input_ids), model.llm.get_input_embeddings()(input_ids)):
        x = joined(model, x_enc, z_enc, attention_mask, prompt)
        yield "x_enc", x
        yield "z", model.mar.decode(x, visible, positions)


def decoder(
    ref: Part, x: Tensor, mask: Tensor, grid: list[int], x_con: Tensor | None = None
) -> Got:
    positions = ref.model.mar.positions((grid[0], grid[1]))
    yield "z", ref.model.mar.decode(x, visible_places(mask.bool()), positions, x_con)


def decoder_condition(ref: Part, x: Tensor, mask: Tensor, grid: list[int], x_con: Tensor) -> Got:
    yield from decoder(ref, x, mask, grid, x_con)


def image2text_logits(ref: Part, input_ids: Tensor, attention_mask: Tensor, image: Tensor) -> Got:
    encoded = ref.model.vae.encode(image)
    yield "latents", encoded
    yield "z_enc", ref.model.see_all(encoded)
    yield "inputs_embeds", ref.model.embed(input_ids, encoded)
    if (expected := ref.outputs.get("logits")) is not None:
        # Padding is never read; what stands there depends on a mask that ours does not need.
        ours = ref.model.read(input_ids, encoded)
        yield "logits", torch.where(attention_mask[..., None].bool(), ours, expected)


def image2text_greedy(ref: Part, input_ids: Tensor, image: Tensor, max_new_tokens: int) -> Got:
    encoded, mask = ref.model.vae.encode(image), torch.ones_like(input_ids)
    stop = frozenset({ref.sizes["llm"].get("eos_token_id", -1)})
    replies = generate(ref.model, input_ids, mask, encoded, max_new_tokens, stop)
    yield "token_ids", torch.tensor(replies)
    whole = torch.cat([input_ids, torch.tensor(replies)], dim=1)
    logits = ref.model.read(whole, encoded)[:, input_ids.shape[1] - 1 : -1]
    best = logits.topk(2).values
    yield "logits", logits
    yield "smallest_margin", float((best[..., 0] - best[..., 1]).min())


# By how the names of parts begin.
PARTS: dict[str, Callable[..., Got]] = {
    "vae_": vae,
    "latents_": latents,
    "position_embedding": position_embedding,
    "position_ids": position_ids,
    "encoder_": encoder,
    "llm_cache": llm_cache,
    "joint_encoder_": joint_encoder,
    "decoder_condition": decoder_condition,
    "decoder_": decoder,
    "image2text_logits": image2text_logits,
    "image2text_greedy": image2text_greedy,
}


@torch.no_grad()
def test_every_part_equals_the_release(part: Part) -> None:
    part.compare(PARTS)


def test_every_recorded_part_has_its_check(reference: Any) -> None:
    files = Path(__file__).parent.glob("test_parity*.py")
    kinds = [run_path(str(file))["PARTS"] for file in files]
    assert all(any(kind_of(name, known) for known in kinds) for name in reference.parts)


def test_sizes_are_read_off_the_weights(reference: Any) -> None:
    """All but the attention heads, and what only training or drawing asks for."""
    read, stated = reference.inferred, reference.config
    assert replace(read.vae, scale=stated.vae.scale) == stated.vae
    assert replace(read.mar, mask_ratio_min=stated.mar.mask_ratio_min) == stated.mar
    assert (read.head.width, read.head.depth) == (stated.head.width, stated.head.depth)
