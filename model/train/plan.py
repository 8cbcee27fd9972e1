"""What a training would do, said without doing it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import torch

from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.train.optimizers import freeze
from harmon_eval.model.train.recipe import Recipe, VAERecipe, cycle
from harmon_eval.model.train.start import PARTS, describe_start


def describe(recipe: Recipe | VAERecipe) -> str:
    """Recipe, parameters by part, batch, steps, tokens and images a step, memory: as text.

    Loads no weights where the sizes are known without them. Raises RecipeError."""
    lines = [json.dumps(asdict(recipe), indent=2)]
    if isinstance(recipe, VAERecipe):
        return "\n".join([*lines, f"{recipe.steps} steps of {recipe.batch} pictures"])
    config, origins = describe_start(recipe)
    with torch.device("meta"):
        model = Harmon(config)
    freeze(model, recipe.optimizer)
    lines.append(f"{'part':9}{'trained':>15}{'frozen':>15}  from")
    for part in PARTS:
        sizes = [(p.numel(), p.requires_grad) for p in getattr(model, part).parameters()]
        trained, frozen = (sum(n for n, g in sizes if g == learns) for learns in (True, False))
        lines.append(f"{part:9}{trained:15,}{frozen:15,}  {origins[part]}")
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in model.parameters())
    lines.append(f"{'all':9}{learning:15,}{every - learning:15,}")
    size = recipe.image_size or config.image_size
    tokens = (size // config.vae.stride) ** 2
    numbers = cycle(recipe, max(source.first_step for source in recipe.sources))
    chosen = [recipe.sources[number] for number in numbers]
    samples = sum(source.batch for source in chosen)
    images = sum(source.batch for source in chosen if source.task != "text")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    lines.append(
        f"{recipe.steps} steps of {len(chosen)} micro-batches"
        + (f", at most {recipe.minutes:g} minutes" if recipe.minutes else "")
    )
    lines.append(f"effective batch: {samples} samples, {images} images of {size} px, at least "
                 f"{images * (tokens + config.mar.buffers):,} tokens a step")  # fmt: skip
    lines.append(memory(recipe, config, every, learning, tokens + config.mar.buffers, world))
    return "\n".join(lines)


def memory(
    recipe: Recipe, config: HarmonConfig, every: int, learning: int, tokens: int, world: int
) -> str:
    """An estimate for one device with whole weights: exact for weights, gradients and optimizer
    (all float32), a rule of thumb for the activations of MAR and LLM."""
    moments = 1 if recipe.optimizer.name == "muon" else 2
    fixed = 4 * (every + learning * (1 + moments + bool(recipe.optimizer.ema)))
    rows = max(-(-source.batch // world) for source in recipe.sources)
    rows = min(rows, recipe.device_batch or rows)
    widths = 2 * config.mar.depth * config.mar.width
    widths += config.llm.num_hidden_layers * config.llm.hidden_size
    # About 34 widths a token and block are kept for the backward pass; recomputing keeps one.
    kept = 1 if recipe.gradient_checkpointing else 34
    activations = rows * tokens * widths * kept * (2 if recipe.precision != "no" else 4)
    return (
        f"memory on one of {world} devices, roughly: {fixed / 2**30:.1f} GiB weights, gradients "
        f"and optimizer, {activations / 2**30:.1f} GiB activations of {rows} samples"
    )
