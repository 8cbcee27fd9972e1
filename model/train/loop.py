"""The training loop of Harmon: both losses in every step, one optimizer step a batch."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harmon_eval.model.config import MARConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import initialize_positions
from harmon_eval.model.masking import hide_first, mask_ratios
from harmon_eval.model.processor import Processor
from harmon_eval.model.train.data import Batch, BatchMaker
from harmon_eval.model.train.recipe import HarmonRecipe
from harmon_eval.model.train.run_folder import History, load_checkpoint, save_checkpoint
from harmon_eval.model.train.schedule import learning_rate_factor
from harmon_eval.model.train.start import fresh_harmon, read_vae, scene_latents


def draw_mask(config: MARConfig, batch: int, tokens: int, rng: np.random.Generator) -> Tensor:
    """Hidden places (B, L): one ratio a batch, from a truncated normal (MAR, Harmon)."""
    ratio = mask_ratios(config).rvs(random_state=rng)
    orders = np.argsort(rng.random((batch, tokens)), axis=1)
    return hide_first(torch.from_numpy(orders), ratio)


def stratified_steps(count: int, train_steps: int, rng: np.random.Generator) -> Tensor:
    """``count`` diffusion steps, one from each of as many equal parts of the schedule, shuffled."""
    places = (np.arange(count) + rng.random(count)) / count
    return torch.from_numpy((rng.permutation(places) * train_steps).astype(np.int64))


def losses(model: Harmon, batch: Batch, recipe: HarmonRecipe, step: int) -> dict[str, Tensor]:
    rng = np.random.default_rng((recipe.seed, 7, step))
    latents = batch.latents
    tokens = latents.shape[1] * latents.shape[2]
    mask = draw_mask(model.config.mar, len(latents), tokens, rng)
    rows = recipe.draws_per_token * mask.numel()
    t = stratified_steps(rows, model.config.head.train_steps, rng)
    noise = torch.from_numpy(rng.standard_normal((rows, latents.shape[-1]), dtype=np.float32))
    generation = model.text2image_loss(batch.prompt_ids, batch.prompt_mask, latents, mask, t, noise)
    understanding = model.image2text_loss(batch.turn_ids, batch.turn_labels, batch.seen_latents)
    text = told_loss(model, batch.told_ids, batch.told_labels)
    total = generation + recipe.understanding_weight * understanding + recipe.text_weight * text
    return {"total": total, "text2image": generation, "image2text": understanding, "text": text}


def told_loss(model: Harmon, ids: Tensor, labels: Tensor) -> Tensor:
    return model.token_loss(model.read(ids, None), labels)


def optimizers(model: Harmon, recipe: HarmonRecipe) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for tables, embeddings, inputs, outputs and vectors."""
    edge = ("embed_tokens", "lm_head", "z_proj", "input_proj", "final_layer", "pos_embed",
            "time_embed.mlp.0", "fake_latent", "mask_token")  # fmt: skip
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    hidden = [p for n, p in named if p.ndim == 2 and not any(part in n for part in edge)]
    chosen = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in chosen]
    matrices = [p for p in rest if p.ndim >= 2]
    vectors = [p for p in rest if p.ndim < 2]
    muon = torch.optim.Muon(
        hidden,
        lr=recipe.muon_rate,
        momentum=0.95,
        weight_decay=recipe.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    adam = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=recipe.adam_rate,
        betas=(0.9, 0.98),
    )
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["base_rate"] = group["lr"]
    return [muon, adam]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, in place."""
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current, 1 - decay)


def train_harmon(recipe: HarmonRecipe, folder: Path) -> Path:
    """Train to ``folder``/checkpoint.pt, resuming what is there; returns its path."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    model, processor = fresh_harmon(recipe, read_vae(recipe))
    initialize_positions(model.mar, *recipe.position_std)
    average = copy.deepcopy(model).eval()
    maker = BatchMaker(recipe, processor, model.config, scene_latents(recipe, model.vae, folder))
    steppers = optimizers(model, recipe)
    path, history = folder / "checkpoint.pt", History(folder / "history.jsonl")
    first, seconds = 0, 0.0
    if state := load_checkpoint(path):
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, values in zip(steppers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        torch.set_rng_state(state["random"])
        first, seconds = state["step"], state["seconds"]
    model.train()
    started = time.monotonic() - seconds
    done = saved = first
    for step, progress in _until_done(recipe, first, started):
        terms = train_step(model, average, steppers, maker, recipe, step, progress)
        elapsed, done = time.monotonic() - started, step + 1
        if done % recipe.log_every == 0:
            history.write(step=done, seconds=elapsed, **terms)
        if done % recipe.save_every == 0:
            _save(path, model, average, steppers, processor, done, elapsed)
            saved = done
    if saved < done:
        _save(path, model, average, steppers, processor, done, time.monotonic() - started)
    return path


def train_step(
    model: Harmon,
    average: Harmon,
    steppers: list[torch.optim.Optimizer],
    maker: BatchMaker,
    recipe: HarmonRecipe,
    step: int,
    progress: float,
) -> dict[str, float]:
    """One step of all optimizers; returns the loss terms and the gradient norm.

    The first ``recipe.text_steps`` steps teach the LLM alone, by text."""
    factor = learning_rate_factor(
        progress * recipe.steps, recipe.steps, recipe.warmup, recipe.constant, recipe.final
    )
    for optimizer in steppers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_rate"] * min(factor, (step + 1) / recipe.warmup)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
        if step < recipe.text_steps:
            text = told_loss(model, *maker.told(step))
            terms = {"total": text, "text": text}
        else:
            terms = losses(model, maker.batch(step), recipe, step)
    for optimizer in steppers:
        optimizer.zero_grad()
    terms["total"].backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    norm = nn.utils.clip_grad_norm_(trained, recipe.clip, error_if_nonfinite=True)
    for optimizer in steppers:
        optimizer.step()
    # A young average follows quickly, so that early checkpoints are usable.
    update_average(average, model, min(recipe.ema, (1 + step) / (10 + step)))
    return {**{name: float(value.detach()) for name, value in terms.items()}, "norm": float(norm)}


def _until_done(recipe: HarmonRecipe, first: int, started: float) -> Iterator[tuple[int, float]]:
    """Steps with their progress (0 to 1), by step count or clock, whichever is further."""
    for step in range(first, recipe.steps):
        progress = step / recipe.steps
        if recipe.minutes:
            progress = max(progress, (time.monotonic() - started) / 60 / recipe.minutes)
        if progress >= 1:
            return
        yield step, progress


def _save(
    path: Path,
    model: Harmon,
    average: Harmon,
    steppers: list[torch.optim.Optimizer],
    processor: Processor,
    step: int,
    seconds: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in steppers],
        "random": torch.get_rng_state(),
        "config": model.config.to_dict(),
        "step": step,
        "seconds": seconds,
    }
    save_checkpoint(state, path)
    if not (path.parent / "tokenizer").exists():
        processor.save(path.parent / "tokenizer")
