"""Diffusion and the sampling loop against the recorded release: see ``test_parity.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from harmon_eval.model import diffusion
from harmon_eval.model.fast import head as fast_head
from harmon_eval.model.fast.drawing import mar_iterations
from harmon_eval.model.fast.head import denoiser, step_embeddings
from harmon_eval.model.head import sinusoids
from harmon_eval.model.sampling import DrawSettings

Part = Any  # a part of the recording, see conftest.py
Got = Iterator[tuple[str, Any]]


def timestep_embedding(ref: Part, t: Tensor) -> Got:
    yield "sinusoid", sinusoids(t)
    yield "embedding", ref.model.head.time_embed(t)


def diffusion_net(ref: Part, x: Tensor, t: Tensor, c: Tensor, t_cfg: Tensor) -> Got:
    head, half = ref.model.head, len(x) // 2
    yield "out", head(x, t, c)
    # The recording has rows of different steps, ours only steps of many rows.
    for scale in (1.5, 3.0):
        rows = []
        for i in range(half):
            times = head.time_embed(t_cfg[i : i + 1])
            denoise = denoiser(head, c[[i, half + i]], times, scale, guided=True)
            rows.append(torch.cat(denoise(x[i : i + 1], 0), dim=1))
        ours = torch.cat(rows)
        if (expected := ref.outputs.get(f"cfg_{scale}")) is None:
            continue
        unread = expected[half:, x.shape[1] :]  # variance of the unconditional half
        second = torch.cat([ours[:, : x.shape[1]], unread], dim=1)
        yield f"cfg_{scale}", torch.cat([ours, second])


def schedule(ref: Part) -> Got:
    steps = ref.config.head.train_steps
    kept = len(ref.outputs.get("sampling_timestep_map", range(100)))
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
    ref: Part, z: Tensor, target: Tensor, t: Tensor, noise: Tensor, mask: Tensor
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
    ref: Part,
    z: Tensor,
    cfg: float,
    temperature: float,
    noise_init: Tensor,
    noise_steps: Tensor,
) -> Got:
    head, rows = ref.model.head, len(noise_init)
    kept = diffusion.sampling_schedule(len(noise_steps), ref.config.head.train_steps)
    times, noise_steps = step_embeddings(head, kept), noise_steps[:, :rows]
    denoise = denoiser(head, z, times, cfg, guided=cfg != 1.0)
    steps = list(diffusion.ancestral_steps(denoise, noise_init, noise_steps, kept, temperature))
    yield "trajectory", torch.stack([x for x, _ in steps])
    yield "pred_xstart", torch.stack([x0 for _, x0 in steps])
    drawn = fast_head.sample(head, z, noise_init, noise_steps, kept, times, cfg, temperature)
    yield "sample", drawn


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


# By how the names of parts begin.
PARTS: dict[str, Callable[..., Got]] = {
    "timestep_embedding": timestep_embedding,
    "diffusion_net": diffusion_net,
    "schedule": schedule,
    "diffusion_loss": diffusion_loss,
    "diffusion_sample": diffusion_sample,
    "sample": sample,
}


@torch.no_grad()
def test_every_part_equals_the_release(part: Part) -> None:
    part.compare(PARTS)
