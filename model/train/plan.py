"""What a training would do, said without doing it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict

import torch

from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.train.optimizers import freeze
from harmon_eval.model.train.recipe import Recipe, VAERecipe, cycle
from harmon_eval.model.train.start import NO_VAE, PARTS, describe_start

# How many pictures of a sample the encoder sees, where it is not one.
PICTURES_OF = {"text": 0, "edit": 2, "reconstruct": 2}


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
    lines += parts_table(model, origins)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in model.parameters())
    size = recipe.image_size or config.image_size
    tokens = (size // config.vae.stride) ** 2
    numbers = cycle(recipe, max(source.first_step for source in recipe.sources))
    chosen = [recipe.sources[number] for number in numbers]
    samples = sum(source.batch for source in chosen)
    images = sum(PICTURES_OF.get(source.task, 1) * source.batch for source in chosen)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    lines.append(
        f"{recipe.steps} steps of {len(chosen)} micro-batches"
        + (f", at most {recipe.minutes:g} minutes" if recipe.minutes else "")
    )
    lines.append(
        f"effective batch: {samples} samples, {images} images of {size} px, at least "
        f"{images * (tokens + config.mar.buffers):,} tokens a step"
    )
    # The LLM reads a source in the prompt, and the encoder sees it besides what is drawn.
    most = max(PICTURES_OF.get(source.task, 1) for source in recipe.sources) or 1
    each = most * (tokens + config.mar.buffers)
    if recipe.distil.wanted:
        lines.append(f"drawings learn from {recipe.start.checkpoint}, kept as it is beside")
    lines.append(memory(recipe, config, every, learning, each, world))
    if not (recipe.start.checkpoint or recipe.start.vae):
        lines.append(f"still missing: {NO_VAE}")
    return "\n".join(lines)


def parts_table(model: Harmon, origins: Mapping[str, str]) -> list[str]:
    """Lines: of each part, how many parameters learn and do not, and where its weights are from."""
    lines = [f"{'part':9}{'trained':>15}{'frozen':>15}  from"]
    totals = {True: 0, False: 0}
    for part in PARTS:
        counts = {True: 0, False: 0}
        for parameter in getattr(model, part).parameters():
            counts[parameter.requires_grad] += parameter.numel()
        totals = {learns: totals[learns] + counts[learns] for learns in totals}
        lines.append(f"{part:9}{counts[True]:15,}{counts[False]:15,}  {origins[part]}")
    return [*lines, f"{'all':9}{totals[True]:15,}{totals[False]:15,}"]


def memory(
    recipe: Recipe, config: HarmonConfig, every: int, learning: int, tokens: int, world: int
) -> str:
    """An estimate for one device with whole weights: exact for weights, gradients and optimizer
    (all float32), a rule of thumb for the activations of MAR and LLM."""
    moments = 1 if recipe.optimizer.name == "muon" else 2
    held = every * (2 if recipe.distil.wanted else 1)
    fixed = 4 * (held + learning * (1 + moments + bool(recipe.optimizer.ema)))
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
