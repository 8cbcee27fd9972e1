"""What a training starts from: a fresh model around a trained VAE, and its scenes as latents."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harmon_eval.model.checkpoint import load
from harmon_eval.model.config import (
    HARMON_MINI,
    HarmonConfig,
    HeadConfig,
    LLMConfig,
    VAEConfig,
)
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.processor import Processor, build_word_tokenizer
from harmon_eval.model.train.data import (
    HELD_OUT_STREAM,
    TRAINING_STREAM,
    stream_pixels,
)
from harmon_eval.model.train.recipe import HarmonRecipe, RecipeError, VAERecipe
from harmon_eval.model.train.run_folder import load_checkpoint
from harmon_eval.model.train.vae import fold_normalisation
from harmon_eval.model.vae import VAE
from harmon_eval.model.weights import CONFIG
from harmon_eval.suites.mini.language import VOCABULARY


def read_vae(recipe: HarmonRecipe) -> VAE:
    """The trained VAE, its latents folded to unit standard deviation. Raises RecipeError."""
    if Path(recipe.vae, CONFIG).exists():
        vae = load(recipe.vae).pipeline.model.vae
        return _normalised(vae, recipe)
    state = load_checkpoint(Path(recipe.vae)) if recipe.vae else None
    if state is None:
        raise RecipeError(
            f"no VAE checkpoint at {recipe.vae!r}: train one with "
            "`python -m harmon_eval.model.train mini-vae --output DIR` "
            "and pass --set vae=DIR/checkpoint.pt (or a model's folder)"
        )
    sizes = VAERecipe(**state["recipe"])
    vae = VAE(
        VAEConfig(
            width=sizes.width, multipliers=tuple(sizes.multipliers), blocks=sizes.blocks, scale=1.0
        )
    )
    vae.load_state_dict(state["vae"])
    return _normalised(vae, recipe)


def _normalised(vae: VAE, recipe: HarmonRecipe) -> VAE:
    fold_normalisation(vae, stream_pixels(0, HELD_OUT_STREAM, 0, recipe.normalisation_scenes))
    return vae.eval().requires_grad_(False)


def mini_config(recipe: HarmonRecipe, vae: VAEConfig, vocabulary: int) -> HarmonConfig:
    mar = replace(
        HARMON_MINI.mar,
        width=recipe.mar_width,
        depth=recipe.mar_depth,
        heads=recipe.mar_width // 32,
        buffers=recipe.buffers,
        dropout=recipe.dropout,
    )
    llm = LLMConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.llm_width,
        intermediate_size=8 * (recipe.llm_width // 3),
        num_hidden_layers=recipe.llm_layers,
        num_attention_heads=recipe.llm_width // 32,
        num_key_value_heads=recipe.llm_width // 32,
        max_position_embeddings=1024,
    )
    head = HeadConfig(
        recipe.head_width,
        recipe.head_depth,
        draws_per_token=recipe.draws_per_token,
        prediction=recipe.prediction,
    )
    return replace(HARMON_MINI, vae=vae, mar=mar, head=head, llm=llm)


def fresh_harmon(recipe: HarmonRecipe, vae: VAE) -> tuple[Harmon, Processor]:
    processor = Processor(build_word_tokenizer(VOCABULARY))
    model = Harmon(mini_config(recipe, vae.config, len(processor.tokenizer)))
    model.vae.load_state_dict(vae.state_dict())
    return model, processor


@torch.no_grad()
def scene_latents(recipe: HarmonRecipe, vae: VAE, folder: Path) -> Tensor:
    """Latents (N, m, n, C) of the training scenes, kept in ``folder`` between runs."""
    digest = hashlib.sha256()
    for tensor in vae.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    name = f"latents-{digest.hexdigest()[:12]}-{recipe.scenes}.safetensors"
    path = folder / name
    if path.exists():
        return load_file(path)["latents"]
    latents = torch.cat(
        [
            vae.encode(
                stream_pixels(recipe.seed, TRAINING_STREAM, start, min(250, recipe.scenes - start))
            )
            for start in range(0, recipe.scenes, 250)
        ]
    ).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file({"latents": latents}, temporary)
    temporary.replace(path)
    return latents
