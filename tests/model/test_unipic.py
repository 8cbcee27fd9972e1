"""UniPic-1 against its recorded release (SkyworkAI/UniPic): schedule, editing, understanding.

Its network is Harmon's, with another noise schedule, so the recording is loaded through the users'
conversion function as any checkpoint is. What is recorded, and how: tests/fixtures/README.md; how
it is compared: conftest.py. All sizes are read from the file: set ``UNIPIC_FIXTURE`` for another
one. ``pytest tests/model -k unipic -v`` prints the largest error of each output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from harmon_eval.model import diffusion, reference
from harmon_eval.model.checkpoint import UNIPIC_DRAWING
from harmon_eval.model.fast import head as fast_head
from harmon_eval.model.fast.drawing import mar_iterations
from harmon_eval.model.fast.head import denoiser, step_embeddings
from harmon_eval.model.fast.llm import prefill_shared
from harmon_eval.model.fast.passes import Sources
from harmon_eval.model.fast.passes import join as join_cached
from harmon_eval.model.fast.replies import generate
from harmon_eval.model.harmon import IMAGE_PLACE, Harmon
from harmon_eval.model.keys import UNIPIC, from_authors
from harmon_eval.model.masking import visible_places
from harmon_eval.model.processor import REPEAT
from harmon_eval.model.sampling import DrawSettings
from tests.model.conftest import kind_of

RECORDING = "unipic_edit_reference"
Part = Any  # a part of the recording, see conftest.py
Got = Iterator[tuple[str, Any]]


def placed(ref: Part, ids: Tensor) -> Tensor:
    """Ids with our placeholder instead of the release's added token, where there is one."""
    image = ref.sizes.get("tokens", {}).get("image_token_id", IMAGE_PLACE)
    return ids.masked_fill(ids == image, IMAGE_PLACE)


# -- schedule and head ---------------------------------------------------------------------------


def schedule(ref: Part) -> Got:
    steps, cap = ref.config.head.train_steps, ref.config.head.max_beta
    kept = len(ref.outputs.get("sampling_timestep_map", range(100)))
    for name, ours in (
        ("train", diffusion.training_schedule(steps, cap)),
        ("sampling", diffusion.sampling_schedule(kept, steps, cap)),
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
    ref: Part, z: Tensor, target: Tensor, t: Tensor, noise: Tensor, mask: Tensor
) -> Got:
    head = ref.model.head
    mse, vb = head.loss_terms(z[None], target[None], t, noise)
    steps = diffusion.training_schedule(head.config.train_steps, head.config.max_beta)
    yield "x_t", diffusion.add_noise(target, noise, t, steps)
    yield "mse", mse
    yield "vb", vb
    yield "loss", mse + vb
    yield "masked", head.loss(z[None], target[None], mask[None], t, noise)


def diffusion_sample(
    ref: Part,
    z: Tensor,
    cfg: float,
    temperature: float,
    noise_init: Tensor,
    noise_steps: Tensor,
) -> Got:
    head = ref.model.head
    sizes = head.config
    kept = diffusion.sampling_schedule(len(noise_steps), sizes.train_steps, sizes.max_beta)
    times = step_embeddings(head, kept)
    denoise = denoiser(head, z, times, cfg, guided=cfg != 1.0)
    steps = list(diffusion.ancestral_steps(denoise, noise_init, noise_steps, kept, temperature))
    yield "trajectory", torch.stack([x for x, _ in steps])
    yield "pred_xstart", torch.stack([x0 for _, x0 in steps])
    drawn = fast_head.sample(head, z, noise_init, noise_steps, kept, times, cfg, temperature)
    yield "sample", drawn


# -- editing -------------------------------------------------------------------------------------


def edit_inputs(ref: Part, picture: Tensor, prompt: str, cfg: float, grid_size: int) -> Got:
    model, size = ref.model, ref.config.image_size
    side = size // model.config.vae.stride
    processor = ref.reference.processor
    pixels = processor.cropped_pixels([Image.fromarray(picture.numpy())], size, size)
    latents = model.vae.encode(pixels)
    x_con, z_enc = model.see_whole(latents)
    yield "pixel_values", pixels
    yield "latents", latents
    yield "x_con_one", x_con
    yield "z_enc", z_enc
    texts = [prompt] if cfg == 1.0 else [prompt, REPEAT]
    rows = [processor.edit_ids(text, side**2 + model.config.mar.buffers) for text in texts]
    for text, row in zip(texts, rows, strict=True):
        ref.reference.needs_ids_of(text, row)
    yield "input_ids", [torch.tensor(row) for row in rows]
    yield "prompt_texts", [ref.reference.text(row) for row in rows]
    repeated = [row for row in rows for _ in range(grid_size**2)]
    ids, mask = processor.batch(repeated)
    yield "attention_mask", mask.bool()
    embeddings = model.placed(ids, z_enc.expand(len(repeated), -1, -1))
    if (expected := ref.outputs.get("inputs_embeds")) is not None:
        # The release pads with another token; padding is never read.
        yield "inputs_embeds", torch.where(mask[..., None] > 0, embeddings, expected)
    yield "x_con", x_con.expand(len(repeated), -1, -1)
    yield "image_shape", [side, side]
    yield "num_iter", UNIPIC_DRAWING.iterations
    yield "temperature", ref.outputs.get("temperature")  # 0.85 there, 1.0 on its command line


def edit_joint(
    ref: Part,
    source_latents: Tensor,
    latents: Tensor,
    mask: Tensor,
    grid: list[int],
    input_ids: Tensor,
    attention_mask: Tensor,
) -> Got:
    model, visible = ref.model, visible_places(mask.bool())
    positions = model.mar.positions((grid[0], grid[1]))
    x_con, z_src = model.see_whole(source_latents)
    embeddings = model.placed(placed(ref, input_ids), z_src)
    x_before, z_enc = model.see(latents.flatten(1, 2), visible, positions)
    yield "x_con", x_con
    yield "z_src", z_src
    yield "inputs_embeds", embeddings
    yield "x_enc_before", x_before
    yield "z_enc", z_enc
    numbers = list(range(len(latents)))
    cached = prefill_shared(model.llm, embeddings, numbers, z_src.shape[1])
    for join, prompt in ((Harmon.join, embeddings), (join_cached, cached)):
        x = join(model, x_before, z_enc, attention_mask, prompt)
        yield "x_enc", x
        yield "z", model.mar.decode(x, visible, positions, x_con)
        yield "z_without_x_con", model.mar.decode(x, visible, positions)


def sample(
    ref: Part,
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
    source_latents: Tensor | None = None,
) -> Got:
    model, copies, shape = ref.model, 1 if cfg == 1.0 else 2, (grid[0], grid[1])
    batch, length = len(orders) // copies, orders.shape[1]
    settings = DrawSettings(
        cfg_scale=cfg,
        iterations=num_iter,
        diffusion_steps=len(noise_steps[0]),
        temperature=temperature,
        cfg_schedule=cfg_schedule,
    )

    def noise(k: int) -> tuple[Tensor, Tensor]:
        return noise_init[k], noise_steps[k]

    def both(x: Tensor) -> Tensor:
        return x.repeat(copies, *[1] * (x.dim() - 1))

    ids, sources, x_con = placed(ref, input_ids), None, None
    if source_latents is not None:
        sources = Sources(source_latents, range(batch))
        x_con, seen = model.see_whole(both(source_latents))
        yield "x_con", x_con
        yield "inputs_embeds", model.placed(ids, seen)
    elif (ids == IMAGE_PLACE).any():
        pytest.skip(f"{ref.name} of {ref.file} holds no source_latents")
    given = (model, ids, attention_mask, orders[:batch], noise, shape, settings)
    loop = list(mar_iterations(*given, None, sources))
    blank = torch.zeros(batch, length)
    masks = [1.0 - blank.scatter(1, step.visible, 1.0) for step in loop]
    tokens = [torch.zeros_like(loop[0].tokens), *(step.tokens for step in loop)]
    yield "masks", torch.stack([both(mask) for mask in masks])
    yield "masked_count", torch.tensor([int(mask[0].sum()) for mask in masks])
    yield "predicted", torch.stack([both(blank.scatter(1, s.places, 1.0)) for s in loop]).bool()
    yield "tokens", torch.stack([both(x) for x in tokens])
    yield "x_enc", [step.x_enc for step in loop]
    positions = model.mar.positions(shape)
    whole = [model.mar.decode(s.x_enc, both(s.visible), positions, x_con) for s in loop]
    yield "z", torch.stack(whole)
    yield "diffusion_condition", [s.z.flatten(0, 1) for s in loop]
    yield "cfg_per_iteration", torch.tensor([step.cfg_scale for step in loop])
    yield "sampled", [step.drawn.flatten(0, 1) for step in loop]
    plain = reference.draw(*given, source_latents)
    for final in (tokens[-1].unflatten(1, shape), plain):
        yield "latents", both(final)
        yield "image", model.vae.decode(final)


@torch.enable_grad()
def edit_loss(
    ref: Part,
    pixel_values_src: Tensor,
    pixel_values: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor,
    mask: Tensor,
    t: Tensor,
    noise: Tensor,
) -> Got:
    model, hidden, ids = ref.model, mask.bool(), placed(ref, input_ids)
    source, target = model.vae.encode(pixel_values_src), model.vae.encode(pixel_values)
    visible, tokens = visible_places(hidden), target.flatten(1, 2)
    positions = model.mar.positions((target.shape[1], target.shape[2]))
    x_con, seen = model.see_whole(source)
    x_enc, z_enc = model.see(tokens, visible, positions)
    x_enc = model.join(x_enc, z_enc, attention_mask, model.placed(ids, seen))
    z = model.mar.decode(x_enc, visible, positions, x_con)
    mse, vb = model.head.loss_terms(z, tokens, t, noise)
    loss = model.edit_loss(ids, attention_mask, source, target, hidden, t, noise)
    yield "x_con", x_con.detach()
    yield "x_enc", x_enc.detach()
    yield "z", z.detach()
    yield "mse", mse.detach()
    yield "vb", vb.detach()
    yield "loss", loss.detach()
    wanted = ref.outputs.get("gradient", {})
    model.zero_grad()
    loss.backward()
    parameters = {name: model.get_parameter(from_authors(name)) for name in wanted}
    yield (
        "gradient",
        {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()},
    )
    assert model.mar.mask_token.grad is None


# -- understanding -------------------------------------------------------------------------------


def image2text(
    ref: Part,
    picture: Tensor,
    question: str,
    max_new_tokens: int,
    repetition_penalty: float = 1.0,
) -> Got:
    model, size, processor = ref.model, ref.config.image_size, ref.reference.processor
    pixels = processor.pixels([Image.fromarray(picture.numpy())], size)
    encoded = model.vae.encode(pixels)
    places = encoded.shape[1] * encoded.shape[2] + model.config.mar.buffers
    row = processor.question_ids(question, places)
    ref.reference.needs_ids_of(question, row)
    ids, mask = processor.batch([row])
    yield "prompt_text", ref.reference.text(row)
    yield "pixel_values", pixels
    yield "latents", encoded
    yield "input_ids", ids
    yield "z_enc", model.see_all(encoded)
    yield "inputs_embeds", model.embed(ids, encoded)
    replies = generate(
        model,
        ids,
        mask,
        encoded,
        max_new_tokens,
        frozenset(),
        repetition_penalty=repetition_penalty,
    )
    yield "token_ids", torch.tensor(replies)
    whole = torch.cat([ids, torch.tensor(replies)], dim=1)
    logits = model.read(whole, encoded)[:, ids.shape[1] - 1 : -1]
    yield "logits", logits
    best = logits.topk(2).values
    yield "smallest_margin", float((best[..., 0] - best[..., 1]).min())


def image2text_penalty(
    ref: Part, picture: Tensor, question: str, max_new_tokens: int, repetition_penalty: float
) -> Got:
    yield from image2text(ref, picture, question, max_new_tokens, repetition_penalty)


# By how the names of parts begin.
PARTS: dict[str, Callable[..., Got]] = {
    "schedule": schedule,
    "diffusion_loss": diffusion_loss,
    "diffusion_sample": diffusion_sample,
    "edit_inputs": edit_inputs,
    "edit_joint": edit_joint,
    "edit_sample": sample,
    "sample": sample,
    "edit_loss": edit_loss,
    "image2text_repetition_penalty": image2text_penalty,
    "image2text": image2text,
}


@torch.no_grad()
def test_every_part_equals_the_release(part: Part) -> None:
    part.compare(PARTS)


def test_every_part_of_the_recording_is_known(reference: Any) -> None:
    """All but the SigLIP2 tower, which no public code joins to the LLM and which is read past."""
    unknown = {name for name in reference.parts if kind_of(name, PARTS) is None}
    assert all(name.startswith("siglip2") for name in unknown)


def test_the_sizes_and_the_cap_are_read_off_the_weights(reference: Any) -> None:
    """The number of MAR's heads leaves no trace, and this LLM is none of the published ones."""
    if not any(name.startswith(UNIPIC) for name in reference.state):
        pytest.skip(f"{reference.name} holds no {UNIPIC}*, by which UniPic-1 is known")
    found, sizes = reference.inferred, reference.config
    assert found.head.max_beta == sizes.head.max_beta == 0.2
    assert replace(found.vae, scale=sizes.vae.scale) == sizes.vae
    assert replace(found.mar, mask_ratio_min=sizes.mar.mask_ratio_min) == sizes.mar
    assert (found.head.width, found.head.depth) == (sizes.head.width, sizes.head.depth)
    assert found.image_size == 2 * found.mar.grid * found.vae.stride
