"""Between the authors' names of weights and ours, and from weights to a configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from harmon_eval.model.config import HarmonConfig, HeadConfig, LLMConfig, MARConfig, VAEConfig

# Our prefix -> the authors'. What no prefix matches keeps its name.
TO_AUTHORS = {"head.": "mar.diffloss.net."}
# kl16.ckpt holds the VAE without a prefix.
VAE_PREFIX = "vae."
VAE_PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
TIED = ("llm.lm_head.weight", "llm.model.embed_tokens.weight")
# What Harmon's own names begin with, in the authors' spelling and ours.
BEGINNINGS = ("llm.", "mar.", "head.", "vae.", "proj_in.", "proj_out.")
# UniPic-1 holds a SigLIP2 tower that its release builds and never calls. Of its noise schedule the
# weights hold no trace, so the projector of that tower is what tells it from a Harmon.
UNIPIC, UNIPIC_MAX_BETA = "siglip2_proj.", 0.2
# Present in some files and never read by Harmon.
IGNORED = (
    *("loss.", "model_ema.", "mar.diffloss.train_diffusion.", "mar.diffloss.gen_diffusion."),
    *("siglip2.", UNIPIC),
)

KNOWN_HEADS = {768: 12, 1024: 16, 1280: 16}
KNOWN_HEAD_WIDTH = {896: 64, 1536: 128, 2048: 128}


def to_authors(name: str) -> str:
    for ours, theirs in TO_AUTHORS.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def from_authors(name: str) -> str:
    for ours, theirs in TO_AUTHORS.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _count(names: Iterable[str], pattern: str) -> int:
    found = [int(m.group(1)) for name in names if (m := re.match(pattern, name))]
    return max(found, default=-1) + 1


def infer_config(
    weights: Mapping[str, Tensor], mar_heads: int | None = None, max_beta: float = 0.999
) -> HarmonConfig:
    """Sizes from tensors in our names. Raises KeyError naming a tensor that is needed and missing.

    Widths and depths are read off; the number of attention heads leaves no trace and follows from
    the published widths, or is ``mar_heads`` (other widths: 16 a head for MAR, 24 for the LLM).
    The cap of the noise schedule leaves none either: it is ``max_beta``."""
    shape = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    width, channels = shape["mar.z_proj.weight"]
    native = shape["mar.diffusion_pos_embed_learned"][1]
    grid = round(native**0.5)
    mar = MARConfig(
        width=width,
        depth=_count(shape, r"mar\.encoder_blocks\.(\d+)\."),
        heads=mar_heads or KNOWN_HEADS.get(width, max(1, width // 16)),
        mlp_ratio=shape["mar.encoder_blocks.0.mlp.fc1.weight"][0] / width,
        buffers=shape["mar.encoder_pos_embed_learned"][1] - native,
        grid=grid,
        classes=shape.get("mar.class_emb.weight", (0,))[0],
    )
    head = HeadConfig(
        width=shape["head.input_proj.weight"][0],
        depth=_count(shape, r"head\.res_blocks\.(\d+)\."),
        max_beta=max_beta,
    )
    vae = _infer_vae(shape, channels)
    return HarmonConfig(vae, mar, head, _infer_llm(shape), image_size=2 * grid * vae.stride)


def _infer_vae(shape: Mapping[str, tuple[int, ...]], channels: int) -> VAEConfig:
    width = shape["vae.encoder.conv_in.weight"][0]
    levels = _count(shape, r"vae\.encoder\.down\.(\d+)\.")
    last_conv = "vae.encoder.down.{}.block.0.conv1.weight"
    multipliers = tuple(shape[last_conv.format(i)][0] // width for i in range(levels))
    blocks = _count(shape, r"vae\.encoder\.down\.0\.block\.(\d+)\.")
    return VAEConfig(width=width, multipliers=multipliers, blocks=blocks, channels=channels)


def _infer_llm(shape: Mapping[str, tuple[int, ...]]) -> LLMConfig:
    vocabulary, hidden = shape["llm.model.embed_tokens.weight"]
    head_width = KNOWN_HEAD_WIDTH.get(hidden, 24 if hidden % 24 == 0 else 32)
    return LLMConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=shape["llm.model.layers.0.mlp.gate_proj.weight"][0],
        num_hidden_layers=_count(shape, r"llm\.model\.layers\.(\d+)\."),
        num_attention_heads=hidden // head_width,
        num_key_value_heads=shape["llm.model.layers.0.self_attn.k_proj.weight"][0] // head_width,
    )
