"""Every part of Harmon against the recorded release of the authors, on small random weights.

What is recorded, and how: tests/fixtures/README.md. The recording is loaded, through the users'
conversion function, and compared in conftest.py. ``pytest tests/model/test_parity.py -v`` prints
the table of docs/model.md: the largest error of each output beside its tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harmon_eval.model import diffusion, masking
from harmon_eval.model.head import sinusoids
from harmon_eval.model.keys import from_authors
from harmon_eval.model.llm import counted_positions, prefill
from harmon_eval.model.masking import visible_places
from harmon_eval.model.sampling import DrawSettings, mar_iterations

Reference = Any  # the recording of conftest.py
Got = Iterator[tuple[str, Any]]

# Recorded to explain the release's behaviour, not to be repeated.
NOT_OURS = {
    "latents_after_decode",  # the release divides its argument in place
    "discarded_half",  # a diffusion state that is never read
}


# -- what ours computes for each part: (name of the recorded output, ours) ----------------------


def vae(ref: Reference, image: Tensor, latent: Tensor, noise: Tensor) -> Got:
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


def latents(ref: Reference, image: Tensor) -> Got:
    encoded = ref.model.vae.encode(image)
    kept = encoded.clone()
    yield "decoded", ref.model.vae.decode(encoded)
    yield "latents", encoded
    assert torch.equal(encoded, kept), "decoding changed its argument"


def position_embedding(ref: Reference, grids: Tensor) -> Got:
    tables = [ref.model.mar.positions((m, n)) for m, n in grids.tolist()]
    yield "encoder", [table.encoder for table in tables]
    yield "decoder", [table.decoder for table in tables]
    yield "diffusion", [table.diffusion for table in tables]


def encoder(ref: Reference, latents: Tensor, mask: Tensor, grid: list[int]) -> Got:
    positions = ref.model.mar.positions((grid[0], grid[1]))
    x_enc, z_enc = ref.model.see(latents.flatten(1, 2), visible_places(mask.bool()), positions)
    yield from (("mae_encoder", x_enc), ("x_enc", x_enc))
    yield "z_enc", z_enc


def llm_cache(ref: Reference, input_ids: Tensor, attention_mask: Tensor, x: Tensor) -> Got:
    model, length = ref.model, input_ids.shape[1]
    embeddings = model.llm.get_input_embeddings()(input_ids)
    whole = model.llm(input_ids=input_ids, output_hidden_states=True)
    cache = prefill(model.llm, input_ids)
    yield "inputs_embeds", embeddings
    yield "prefill_hidden", whole.hidden_states[-1]
    yield "prefill_logits", whole.logits
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
        model.join(x.new_zeros(*x.shape[:2], ref.config.mar.width), x, attention_mask, prompt)
        hook.remove()
        yield name, seen[0].roll(-ref.config.mar.buffers, dims=1)
    yield "cache_length_after_curtail", cache.length


def position_ids(ref: Reference, attention_mask: Tensor, image_length: int) -> Got:
    full = F.pad(attention_mask, (0, image_length), value=1)
    yield "attention_mask", full.bool()
    yield "position_ids", counted_positions(full)


def joint_encoder(
    ref: Reference,
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
        joined = model.join(x_enc, z_enc, attention_mask, prompt)
        yield "x_enc", joined
        yield "z", model.mar.decode(joined, visible, positions)


def decoder(
    ref: Reference, x: Tensor, mask: Tensor, grid: list[int], x_con: Tensor | None = None
) -> Got:
    positions = ref.model.mar.positions((grid[0], grid[1]))
    yield "z", ref.model.mar.decode(x, visible_places(mask.bool()), positions, x_con)


def timestep_embedding(ref: Reference, t: Tensor) -> Got:
    yield "sinusoid", sinusoids(t)
    yield "embedding", ref.model.head.time_embed(t)


def diffusion_net(ref: Reference, x: Tensor, t: Tensor, c: Tensor, t_cfg: Tensor) -> Got:
    head, half = ref.model.head, len(x) // 2
    yield "out", head(x, t, c)
    # The recording has rows of different steps, ours only steps of many rows.
    for scale in (1.5, 3.0):
        rows = []
        for i in range(half):
            times = head.time_embed(t_cfg[i : i + 1])
            denoise = head.denoiser(c[[i, half + i]], times, scale, guided=True)
            rows.append(torch.cat(denoise(x[i : i + 1], 0), dim=1))
        ours = torch.cat(rows)
        expected = ref.parts["diffusion_net"]["outputs"][f"cfg_{scale}"]
        unread = expected[half:, x.shape[1] :]  # variance of the unconditional half
        second = torch.cat([ours[:, : x.shape[1]], unread], dim=1)
        yield f"cfg_{scale}", torch.cat([ours, second])


def schedule(ref: Reference) -> Got:
    steps, kept = ref.config.head.train_steps, ref.sizes["diffusion"]["sampling_steps"]
    for name, ours in (
        ("train", diffusion.training_schedule(steps)),
        ("sampling", diffusion.sampling_schedule(kept, steps)),
    ):
        variance = torch.as_tensor(ours.posterior_log_variance).exp()
        variance[0] = 0.0  # replaced by the second in the clipped logarithm
        yield f"{name}_timestep_map", ours.steps
        yield f"{name}_betas", ours.betas
        yield f"{name}_alphas_cumprod", ours.alphas_cumprod
        yield f"{name}_sqrt_recip_alphas_cumprod", ours.x0_factors("noise")[0]
        yield f"{name}_sqrt_recipm1_alphas_cumprod", ours.x0_factors("noise")[1]
        yield f"{name}_posterior_variance", variance
        yield f"{name}_posterior_log_variance_clipped", ours.posterior_log_variance
        yield f"{name}_posterior_mean_coef1", ours.posterior_mean_x0
        yield f"{name}_posterior_mean_coef2", ours.posterior_mean_xt


def diffusion_loss(
    ref: Reference, z: Tensor, target: Tensor, t: Tensor, noise: Tensor, mask: Tensor, **_: int
) -> Got:
    head = ref.model.head
    if z.dim() == 3:  # tokens of a batch, each drawn several times
        yield "loss", head.loss(z, target, mask, t, noise)
        return
    steps = diffusion.training_schedule(ref.config.head.train_steps)
    xt = diffusion.add_noise(target, noise, t, steps)
    mse, vb = diffusion.diffusion_loss_terms(head(xt, t, z), target, xt, noise, t, steps)
    yield "x_t", xt
    yield "mse", mse
    yield "vb", vb
    yield "loss", mse + vb
    yield "masked", head.loss(z[None], target[None], mask[None], t, noise)


def diffusion_sample(
    ref: Reference,
    z: Tensor,
    cfg: float,
    temperature: float,
    noise_init: Tensor,
    noise_steps: Tensor,
    **_: int,
) -> Got:
    head, rows = ref.model.head, len(noise_init)
    kept = diffusion.sampling_schedule(len(noise_steps), ref.config.head.train_steps)
    times, noise_steps = head.step_embeddings(kept), noise_steps[:, :rows]
    denoise = head.denoiser(z, times, cfg, guided=cfg != 1.0)
    steps = list(diffusion.ancestral_steps(denoise, noise_init, noise_steps, kept, temperature))
    yield "trajectory", torch.stack([x for x, _ in steps])
    yield "pred_xstart", torch.stack([x0 for _, x0 in steps])
    yield "sample", head.sample(z, noise_init, noise_steps, kept, times, cfg, temperature)


def sample(
    ref: Reference,
    input_ids: Tensor,
    attention_mask: Tensor,
    num_iter: int,
    cfg: float,
    cfg_schedule: str,
    temperature: float,
    grid: list[int],
    orders: Tensor,
    noise_init: list[Tensor],
    noise_steps: list[Tensor],
    **_: Any,
) -> Got:
    copies = 1 if cfg == 1.0 else 2
    batch, length = len(orders) // copies, orders.shape[1]
    settings = DrawSettings(
        cfg_scale=cfg,
        iterations=num_iter,
        diffusion_steps=len(noise_steps[0]),
        temperature=temperature,
        cfg_schedule=cfg_schedule,
    )

    def noise(k: int) -> tuple[Tensor, Tensor]:
        # The release draws noise for the unconditional half too and never reads it.
        return noise_init[k], noise_steps[k][:, : len(noise_init[k])]

    def both(x: Tensor) -> Tensor:
        return x.repeat(copies, *[1] * (x.dim() - 1))

    prompts = (input_ids, attention_mask)
    shape = (grid[0], grid[1])
    loop = list(mar_iterations(ref.model, *prompts, orders[:batch], noise, shape, settings))
    blank = torch.zeros(batch, length)
    masks = [1.0 - blank.scatter(1, step.visible, 1.0) for step in loop]
    tokens = [torch.zeros_like(loop[0].tokens), *(step.tokens for step in loop)]
    final = tokens[-1].unflatten(1, shape)
    yield "masks", torch.stack([both(mask) for mask in masks])
    yield "masked_count", torch.tensor([int(mask[0].sum()) for mask in masks])
    yield "predicted", torch.stack([both(blank.scatter(1, s.places, 1.0)) for s in loop]).bool()
    yield "tokens", torch.stack([both(x) for x in tokens])
    yield "x_enc", [step.x_enc for step in loop]
    positions = ref.model.mar.positions(shape)
    whole = [ref.model.mar.decode(s.x_enc, both(s.visible), positions) for s in loop]
    yield "z", torch.stack(whole)
    yield "diffusion_condition", [s.z.flatten(0, 1) for s in loop]
    yield "cfg_per_iteration", torch.tensor([step.cfg_scale for step in loop])
    yield "sampled", [step.drawn.flatten(0, 1) for step in loop]
    yield "latents", both(final)
    yield "image", ref.model.vae.decode(final)


def image2text_logits(
    ref: Reference, input_ids: Tensor, attention_mask: Tensor, image: Tensor
) -> Got:
    encoded = ref.model.vae.encode(image)
    yield "latents", encoded
    yield "z_enc", ref.model.see_all(encoded)
    yield "inputs_embeds", ref.model.embed(input_ids, encoded)
    # Padding is never read; what stands there depends on a mask that ours does not need.
    expected = ref.parts["image2text_logits"]["outputs"]["logits"]
    ours = ref.model.read(input_ids, encoded)
    yield "logits", torch.where(attention_mask[..., None].bool(), ours, expected)


def image2text_greedy(ref: Reference, input_ids: Tensor, image: Tensor, max_new_tokens: int) -> Got:
    encoded, mask = ref.model.vae.encode(image), torch.ones_like(input_ids)
    stop = frozenset({ref.sizes["llm"]["eos_token_id"]})
    replies = ref.model.generate(input_ids, mask, encoded, max_new_tokens, stop)
    yield "token_ids", torch.tensor(replies)
    whole = torch.cat([input_ids, torch.tensor(replies)], dim=1)
    logits = ref.model.read(whole, encoded)[:, input_ids.shape[1] - 1 : -1]
    best = logits.topk(2).values
    yield "logits", logits
    yield "smallest_margin", float((best[..., 0] - best[..., 1]).min())


def gradients(ref: Reference, part: str, output: str, loss: Tensor) -> dict[str, Tensor]:
    ref.model.zero_grad()
    loss.backward()
    parameters = dict(ref.model.named_parameters())
    named = {}
    for name in ref.parts[part]["outputs"].get(output, {}):
        gradient = parameters[from_authors(name)].grad
        assert gradient is not None, f"{name} has no gradient"
        named[name] = gradient.clone()
    return named


@torch.enable_grad()
def image2text_loss(
    ref: Reference, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, pixel_values: Tensor
) -> Got:
    encoded = ref.model.vae.encode(pixel_values)
    loss = ref.model.image2text_loss(input_ids, labels, encoded)
    unscaled = ref.model.token_loss(ref.model.read(input_ids, encoded), labels)
    yield "loss", loss.detach()
    yield "gradient_scaled", gradients(ref, "image2text_loss", "gradient_scaled", loss)
    yield "gradient_unscaled", gradients(ref, "image2text_loss", "gradient_unscaled", unscaled)


@torch.enable_grad()
def text_only_loss(
    ref: Reference, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
) -> Got:
    loss = ref.model.text_loss(input_ids, labels)
    yield "gradient", gradients(ref, "text_only_loss", "gradient", loss)
    yield "loss", loss.detach()


@torch.enable_grad()
def text2image_loss(
    ref: Reference,
    input_ids: Tensor,
    attention_mask: Tensor,
    pixel_values: Tensor,
    mask: Tensor,
    t: Tensor,
    noise: Tensor,
    **_: Any,
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
    yield "gradient", gradients(ref, "text2image_loss", "gradient", loss)


def random_masks(ref: Reference, orders: Tensor, mask_rate: float, **_: int) -> Got:
    ratios = masking.mask_ratios(ref.config.mar)
    yield "quantiles", torch.as_tensor(ratios.ppf([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]))
    yield "mean", float(ratios.mean())
    yield "variance", float(ratios.var())
    yield "mask", masking.hide_first(orders, mask_rate).float()
    for name in ref.parts["masking"]["outputs"]:
        if name.startswith("masked_count_"):
            iterations, tokens = (int(word) for word in name.split("_") if word.isdigit())
            yield name, torch.tensor(masking.hidden_counts(tokens, iterations)[:-1])


PARTS: dict[str, Callable[..., Got]] = {
    "vae": vae,
    "latents": latents,
    "position_embedding": position_embedding,
    "position_ids": position_ids,
    "encoder": encoder,
    "llm_cache": llm_cache,
    "joint_encoder": joint_encoder,
    "decoder": decoder,
    "timestep_embedding": timestep_embedding,
    "diffusion_net": diffusion_net,
    "schedule": schedule,
    "diffusion_loss": diffusion_loss,
    "diffusion_sample": diffusion_sample,
    "sample": sample,
    "image2text_logits": image2text_logits,
    "image2text_greedy": image2text_greedy,
    "image2text_loss": image2text_loss,
    "text_only_loss": text_only_loss,
    "text2image_loss": text2image_loss,
    "masking": random_masks,
}


@torch.no_grad()
def test_every_part_equals_the_release(reference: Reference, part: str) -> None:
    compute = next(function for prefix, function in PARTS.items() if part.startswith(prefix))
    recorded = reference.parts[part]
    left = set(recorded["outputs"]) - NOT_OURS
    for output, got in compute(reference, **recorded["inputs"]):
        if output in recorded["outputs"]:
            reference.check(part, output, got)
            left.discard(output)
    assert not left, f"nothing was compared with {left}"


def test_sizes_are_read_off_the_weights(reference: Reference) -> None:
    """All but the attention heads, and what only training or drawing asks for."""
    read, stated = reference.inferred, reference.config
    assert replace(read.vae, scale=stated.vae.scale) == stated.vae
    assert replace(read.mar, mask_ratio_min=stated.mar.mask_ratio_min) == stated.mar
    assert (read.head.width, read.head.depth) == (stated.head.width, stated.head.depth)
