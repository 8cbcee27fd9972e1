"""What a training starts from: a checkpoint, or parts, and what is said about each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harmon_eval.model import keys
from harmon_eval.model import llm as llms
from harmon_eval.model.checkpoint import bundled_names, load, locate
from harmon_eval.model.config import PRESETS, HarmonConfig, LLMConfig, VAEConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.mar import MLP, Attention, initialize_positions
from harmon_eval.model.processor import Processor, build_word_tokenizer, with_words
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.tensors import CheckpointError, torch_values
from harmon_eval.model.train.checksums import Damaged, read_whole
from harmon_eval.model.train.recipe import Recipe, RecipeError, Start, VAERecipe
from harmon_eval.model.train.vae import fold_normalisation
from harmon_eval.model.vae import VAE
from harmon_eval.model.weight_files import of_library
from harmon_eval.model.weights import CONFIG, read, read_kl16

# Chosen for harmon-mini on prompts that are not in the mini suite.
MINI_DRAWING = DrawSettings(cfg_scale=2.0, iterations=16, diffusion_steps=40)


@dataclass(frozen=True)
class Started:
    """A model with its processor; ``origins`` says of every part where its weights come from,
    ``drawing`` how to draw with what comes of it."""

    model: Harmon
    processor: Processor
    origins: Mapping[str, str]
    drawing: DrawSettings


def begin(recipe: Recipe) -> Started:
    """Build what the recipe starts from. Raises RecipeError naming what is missing."""
    torch.manual_seed(recipe.seed)
    start = recipe.start
    try:
        started = _from_checkpoint(start) if start.checkpoint else _from_parts(start)
    except CheckpointError as error:
        raise RecipeError(str(error)) from None
    if recipe.gradient_checkpointing:
        started.model.checkpoint_gradients()
    return started


def _from_checkpoint(start: Start) -> Started:
    loaded = load(start.checkpoint, Path(start.vae) if start.vae else None)
    origin = f"{start.checkpoint} ({loaded.fingerprint[:12]})"
    model = loaded.pipeline.model
    model.config = replace(model.config, mar=replace(model.config.mar, dropout=start.dropout))
    if start.visual_grad_scale:
        model.config = replace(model.config, visual_grad_scale=start.visual_grad_scale)
    if start.grid:
        model.mar.regrid(start.grid)
        model.config = regridded(model.config, start.grid)
    for module in model.mar.modules():
        if isinstance(module, Attention | MLP):
            module.dropout = start.dropout
    origins = dict.fromkeys(PARTS, origin)
    processor = loaded.pipeline.processor
    if start.words:
        processor = _with_words(model, processor, start.words)
        origins["llm"] += f", {len(start.words)} words appended"
    drawing = loaded.draw_settings
    if start.edit_cfg_scale:
        drawing = replace(drawing, edit_cfg_scale=start.edit_cfg_scale)
    if start.iterations:
        drawing = replace(drawing, iterations=start.iterations)
    return Started(model, processor, origins, drawing)


def regridded(config: HarmonConfig, side: int) -> HarmonConfig:
    """The sizes with a native grid of ``side`` x ``side`` tokens, and pictures of that size."""
    mar = replace(config.mar, grid=side)
    return replace(config, mar=mar, image_size=side * config.vae.stride)


def _with_words(model: Harmon, processor: Processor, words: Sequence[str]) -> Processor:
    """The processor with new words, for which the model's embedding gets rows.

    Raises RecipeError."""
    try:
        tokenizer = with_words(processor.tokenizer, words)
    except ValueError as error:
        raise RecipeError(f"start.words: {error}") from None
    llms.add_tokens(model.llm, len(tokenizer) - model.config.llm.vocab_size)
    llm = replace(model.config.llm, vocab_size=len(tokenizer))
    model.config = replace(model.config, llm=llm)
    return replace(processor, tokenizer=tokenizer)


PARTS = ("vae", "mar", "head", "llm", "proj_in", "proj_out")


def _from_parts(start: Start) -> Started:
    if start.preset not in PRESETS:
        raise RecipeError(f"start.preset must be one of {', '.join(PRESETS)}, not {start.preset!r}")
    config = PRESETS[start.preset]
    origins = dict.fromkeys(PARTS, "fresh")
    vae, origins["vae"] = read_vae(start, config.vae)
    if start.llm:
        llm_config, processor = _llm_sizes(start.llm)
    elif start.preset == "harmon-mini":
        from harmon_eval.suites.mini.language import VOCABULARY

        processor = Processor(build_word_tokenizer(VOCABULARY))
        llm_config = replace(config.llm, vocab_size=len(processor.tokenizer))
    else:
        raise RecipeError(
            f"{start.preset} needs its LLM: --set start.llm=Qwen/Qwen2.5-1.5B-Instruct, or a folder"
        )
    config = replace(config, vae=vae.config, llm=llm_config)
    if start.visual_grad_scale:
        config = replace(config, visual_grad_scale=start.visual_grad_scale)
    model = Harmon(_sized(config, start))
    model.vae.load_state_dict(vae.state_dict())
    if start.position_std:
        initialize_positions(model.mar, *start.position_std)
    if start.llm:
        _fill(model.llm, _read_llm(start.llm), start.llm)
        origins["llm"] = start.llm
    if start.mar:
        weights = read_mar(Path(start.mar))
        _fill(model.mar, _below(weights, "mar."), start.mar)
        _fill(model.head, _below(weights, "head."), start.mar)
        origins["mar"] = origins["head"] = start.mar
    drawing = MINI_DRAWING if start.preset == "harmon-mini" else DrawSettings()
    if start.iterations:
        drawing = replace(drawing, iterations=start.iterations)
    return Started(model, processor, origins, drawing)


def _sized(config: HarmonConfig, start: Start) -> HarmonConfig:
    """The sizes, changed by those that ``start`` gives."""
    mar, llm, head = config.mar, config.llm, config.head
    if start.mar_width:
        mar = replace(mar, width=start.mar_width, heads=start.mar_width // 32)
    mar = replace(
        mar,
        depth=start.mar_depth or mar.depth,
        buffers=start.buffers or mar.buffers,
        dropout=start.dropout,
    )
    if start.llm_width:
        llm = replace(
            llm,
            hidden_size=start.llm_width,
            intermediate_size=8 * (start.llm_width // 3),
            num_attention_heads=start.llm_width // 32,
            num_key_value_heads=start.llm_width // 32,
        )
    llm = replace(llm, num_hidden_layers=start.llm_layers or llm.num_hidden_layers)
    head = replace(head, width=start.head_width or head.width, depth=start.head_depth or head.depth)
    config = replace(config, mar=mar, llm=llm, head=head)
    return regridded(config, start.grid) if start.grid else config


# -- parts -----------------------------------------------------------------------------------


NO_VAE = (
    "start.vae names no VAE: train one with `python -m harmon_eval.model.train mini-vae --output "
    "DIR` and pass --set start.vae=DIR/checkpoint.pt (or a kl16.ckpt, or a model's folder)"
)


def read_vae(start: Start, preset: VAEConfig) -> tuple[VAE, str]:
    """The VAE, and where it comes from. Raises RecipeError."""
    if not start.vae:
        raise RecipeError(NO_VAE)
    path = Path(start.vae)
    if start.vae in bundled_names() or (path / CONFIG).exists():
        vae = load(start.vae).pipeline.model.vae
    elif not path.is_file():
        raise RecipeError(
            f"start.vae: there is no file {start.vae!r}; train one with `python -m "
            "harmon_eval.model.train mini-vae --output DIR`"
        )
    else:
        vae = _vae_of_file(path, preset)
    if start.unit_latents:
        from harmon_eval.model.train.scenes import HELD_OUT_STREAM, stream_pixels

        fold_normalisation(vae, stream_pixels(0, HELD_OUT_STREAM, 0, start.unit_latents))
    return vae.eval().requires_grad_(False), start.vae


def _vae_of_file(path: Path, preset: VAEConfig) -> VAE:
    state = _load_tensors(path)
    if "recipe" in state and "vae" in state:  # a training of ours
        try:
            state = read_whole(path)
        except Damaged as error:
            raise RecipeError(str(error)) from None
        sizes = VAERecipe(**state["recipe"])
        config = VAEConfig(sizes.width, tuple(sizes.multipliers), sizes.blocks, scale=1.0)
        weights = state["vae"]
    else:
        config, weights = preset, read_kl16(path, path.parent)
    vae = VAE(config)
    _fill(vae, {n: t for n, t in weights.items() if n.startswith(keys.VAE_PARTS)}, str(path))
    return vae


def read_mar(path: Path) -> dict[str, Tensor]:
    """Tensors of a published class-conditional MAR checkpoint in our names: ``mar.*``, ``head.*``.

    Takes the averaged weights where there are any, as MAR's own evaluation does (arXiv 2406.11838).
    Raises RecipeError."""
    state = _load_tensors(path)
    found = state.get("model_ema") or state.get("model") or state
    weights = {
        keys.from_authors(f"mar.{name}"): tensor
        for name, tensor in found.items()
        if isinstance(tensor, Tensor) and not f"mar.{name}".startswith(keys.IGNORED)
    }
    if "mar.z_proj.weight" not in weights:
        raise RecipeError(f"{path} is no MAR checkpoint: it has no tensor z_proj.weight")
    return weights


def _load_tensors(path: Path) -> dict[str, Any]:
    """A dict of tensors and plain values; nothing in the file is executed."""
    try:
        state = torch_values(path)
    except CheckpointError as error:
        raise RecipeError(str(error)) from None
    if not isinstance(state, dict):
        raise RecipeError(f"{path} holds a {type(state).__name__}, not named tensors")
    return state


def _llm_sizes(name: str) -> tuple[LLMConfig, Processor]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        processor = Processor.from_name(name)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RecipeError(f"start.llm {name!r} cannot be opened: {reason}") from None
    if config.model_type != "qwen2":
        raise RecipeError(f"start.llm {name!r} is a {config.model_type}, not a qwen2")
    values = {f.name: getattr(config, f.name) for f in fields(LLMConfig) if f.name != "rope_theta"}
    return LLMConfig(**values, rope_theta=config.rope_parameters["rope_theta"]), processor


def _read_llm(name: str) -> Mapping[str, Tensor]:
    """Raises RecipeError for weights that are not whole: transformers fills up at random."""
    from transformers import Qwen2ForCausalLM

    try:
        if Path(name).is_dir():
            of_library(Path(name))
        loaded: Any = Qwen2ForCausalLM.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RecipeError(f"start.llm {name!r} cannot be opened: {reason}") from None
    llm, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise RecipeError(f"start.llm {name!r} lacks weights, such as {missing[0]}")
    weights: Mapping[str, Tensor] = llm.state_dict()
    return weights


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}


def _fill(part: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load all weights of a part, no more and no less. Raises RecipeError naming what differs."""
    try:
        part.load_state_dict(dict(weights))
    except RuntimeError as error:
        lines = " ".join(line.strip() for line in str(error).splitlines()[1:5])
        raise RecipeError(
            f"{source} does not fit the sizes of the recipe's start.preset: {lines[:400]}"
        ) from None


# -- without weights -------------------------------------------------------------------------

PUBLISHED = {
    "harmon-0_5b": "harmon-0.5b",
    "harmon-1_5b": "harmon-1.5b",
    "harmon-0.5b-reca": "harmon-0.5b",
    "harmon-1.5b-reca": "harmon-1.5b",
    "harmon-1.5b-reca-plus": "harmon-1.5b",
    "skywork-unipic-1.5b": "unipic-1",
}


def describe_start(recipe: Recipe) -> tuple[HarmonConfig, dict[str, str]]:
    """Sizes and origins of what ``begin`` would give; published sizes are known without files."""
    start = recipe.start
    if start.checkpoint:
        origins = dict.fromkeys(PARTS, start.checkpoint)
        config = _sizes_of_checkpoint(start)
        return regridded(config, start.grid) if start.grid else config, origins
    if start.preset not in PRESETS:
        raise RecipeError(f"start.preset must be one of {', '.join(PRESETS)}, not {start.preset!r}")
    config = PRESETS[start.preset]
    if start.llm and Path(start.llm).is_dir():
        config = replace(config, llm=_llm_sizes(start.llm)[0])
    origins = {
        "vae": start.vae or "not named yet",
        "mar": start.mar,
        "head": start.mar,
        "llm": start.llm,
    }
    return _sized(config, start), {part: origins.get(part) or "fresh" for part in PARTS}


def _sizes_of_checkpoint(start: Start) -> HarmonConfig:
    published = PUBLISHED.get(start.checkpoint.rsplit("/", 1)[-1].lower())
    if published and not Path(start.checkpoint).exists():
        return PRESETS[published]
    try:
        return read(locate(start.checkpoint), Path(start.vae) if start.vae else None)[0]
    except CheckpointError as error:
        raise RecipeError(f"start.checkpoint: {error}") from None
