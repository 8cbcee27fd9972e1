"""Training of the small VAE, and the folding of its latents to unit standard deviation."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harmon_eval.model.config import VAEConfig
from harmon_eval.model.train.checksums import read_replaced, replace_file
from harmon_eval.model.train.recipe import RecipeError, Schedule, VAERecipe
from harmon_eval.model.train.run_folder import History, alone
from harmon_eval.model.train.scenes import VAE_STREAM, stream_pixels
from harmon_eval.model.train.schedule import learning_rate_factor
from harmon_eval.model.vae import VAE


def vae_config(recipe: VAERecipe) -> VAEConfig:
    return VAEConfig(
        width=recipe.width, multipliers=recipe.multipliers, blocks=recipe.blocks, scale=1.0
    )


def edges(images: Tensor) -> tuple[Tensor, Tensor]:
    return images.diff(dim=-1), images.diff(dim=-2)


def vae_loss(
    vae: VAE, images: Tensor, noise: Tensor, recipe: VAERecipe, sharpness: float = 1.0
) -> dict[str, Tensor]:
    """Terms of the loss and their weighted ``total``; ``noise`` (B, C, m, n) is standard normal.

    ``sharpness`` (0 to 1) brings in the L1 and edge terms: both are content with the median, an
    empty background, and hold a fresh network there, so training starts with squared error."""
    mean, log_variance = vae.moments(images)
    mean, log_variance = mean.float(), log_variance.float()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1).mean()
    # Sampled latents are noisy: decoding must bear more than the posterior's own noise.
    spread = (
        log_variance.exp() + (recipe.latent_noise * mean.std(dim=(0, 2, 3))[:, None, None]).square()
    ).sqrt()
    latents = mean + spread * noise
    out = vae.decode(latents.permute(0, 2, 3, 1)).float()
    error = out - images
    squared, absolute = error.square().mean(), error.abs().mean()
    edge = sum(
        (F.l1_loss(a, b) for a, b in zip(edges(out), edges(images), strict=True)),
        start=torch.zeros(()),
    )
    total = recipe.squared_weight * squared + recipe.kl_weight * kl
    total = total + sharpness * (absolute + recipe.edge_weight * edge)
    return {"total": total, "squared": squared, "absolute": absolute, "edge": edge, "kl": kl}


# What may change when a training goes on.
FREE = ("steps", "threads", "save_every", "log_every")


def train_vae(recipe: VAERecipe, folder: Path) -> Path:
    """Train to ``folder``/checkpoint.pt, resuming what is there; returns its path.

    Raises RecipeError, and Damaged where neither checkpoint is whole."""
    with alone(folder):
        return _train_vae(recipe, folder)


def _train_vae(recipe: VAERecipe, folder: Path) -> Path:
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    vae = VAE(vae_config(recipe))
    for module in vae.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(cast(Tensor, module.bias))
    # A quiet posterior from the start: noise of variance 1 would drown the first features.
    cast(Tensor, vae.quant_conv.bias).detach()[vae.config.channels :] = -6.0
    optimizer = torch.optim.AdamW(
        vae.parameters(), recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
    )
    path = folder / "checkpoint.pt"
    first, seconds = 0, 0.0
    state, said = read_replaced(path)
    if said:
        print(said, file=sys.stderr)
    if state:
        _check_same(recipe, state["recipe"], folder)
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        first, seconds = state["step"], state["seconds"]
    history = History(folder / "history.jsonl", first)
    schedule = Schedule(warmup=100 / recipe.steps, constant=0.3, final=0.02)
    started = time.monotonic() - seconds
    for step in range(first, recipe.steps):
        factor = learning_rate_factor(step, recipe.steps, schedule)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        images = stream_pixels(recipe.seed, VAE_STREAM, step * recipe.batch, recipe.batch)
        generator = torch.Generator().manual_seed(step)
        stride = vae.config.stride
        shape = (len(images), vae.config.channels, *(s // stride for s in images.shape[2:]))
        noise = torch.randn(shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            sharpness = min(1.0, max(0.0, step / recipe.steps / recipe.sharp_from - 1))
            losses = vae_loss(vae, images, noise, recipe, sharpness)
        optimizer.zero_grad()
        losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        elapsed = time.monotonic() - started
        if (step + 1) % recipe.log_every == 0:
            terms = {name: value.item() for name, value in losses.items()}
            history.write(step=step + 1, seconds=elapsed, **terms)
            said = "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
            print(f"step {step + 1}/{recipe.steps}  {said}", flush=True)
        if (step + 1) % recipe.save_every == 0 or step + 1 == recipe.steps:
            replace_file(
                {
                    "vae": vae.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "recipe": asdict(recipe),
                    "step": step + 1,
                    "seconds": elapsed,
                },
                path,
            )
    return path


def _check_same(recipe: VAERecipe, before: Mapping[str, Any], folder: Path) -> None:
    """Raises RecipeError: other sizes would not fit, other losses would be neither of the two."""
    for key, value in asdict(recipe).items():
        if key not in FREE and json.dumps(value) != json.dumps(before.get(key, value)):
            raise RecipeError(
                f"{folder} holds a run with another {key}: {before[key]}, not {value}; give "
                "another --output"
            )


@torch.no_grad()
def fold_normalisation(vae: VAE, images: Tensor) -> None:
    """Give every latent channel mean 0 and standard deviation 1 on ``images``, in the weights.

    The diffusion head expects unit latents; the last encoder layer and the first decoder layer are
    linear, so the shift and scale go into them and reconstructions stay as they were."""
    mean, _ = vae.moments(images)
    shift, scale = mean.mean(dim=(0, 2, 3)), mean.std(dim=(0, 2, 3))
    channels = vae.config.channels
    into, out_of = vae.quant_conv, vae.post_quant_conv
    assert into.bias is not None and out_of.bias is not None
    out_of.bias += out_of.weight[:, :, 0, 0] @ shift
    out_of.weight *= scale[None, :, None, None]
    into.weight[:channels] /= scale[:, None, None, None]
    into.bias[:channels] = (into.bias[:channels] - shift) / scale
    into.bias[channels:] -= 2 * scale.log()


@torch.no_grad()
def reconstruction_psnr(vae: VAE, images: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of decoding the posterior's mode."""
    out = vae.decode(vae.encode(images)).clamp(-1, 1)
    return float(10 * torch.log10(4.0 / (out - images).square().mean()))
