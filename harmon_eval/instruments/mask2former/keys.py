"""Names and layouts of Mask2Former's tensors in MMDetection and in transformers.

One table maps the names, and it is read in both directions. Sizes are taken from the tensors'
shapes. Both networks compute the same function. Apart from names, two things differ: MMDetection
packs the attention projections into one tensor, and patch merging concatenates its four neighbours
in a different order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor

# MMDetection 3.x names -> 2.x names. The decoder's first attention is the cross-attention.
GENERATION_3 = (
    (r"(pixel_decoder\.encoder\.layers\.\d+)\.self_attn\.", r"\1.attentions.0."),
    (r"(transformer_decoder\.layers\.\d+)\.cross_attn\.", r"\1.attentions.0."),
    (r"(transformer_decoder\.layers\.\d+)\.self_attn\.", r"\1.attentions.1."),
    (r"(panoptic_head\..*\.layers\.\d+)\.ffn\.", r"\1.ffns.0."),
)
POSITION_INDEX = re.compile(r"^backbone\..*\.relative_position_index$")

_SWIN, _DECODER = "model.pixel_level_module.encoder.", "model.pixel_level_module.decoder."
_QUERIES = "model.transformer_module."
_BLOCK = ("backbone.stages.#.blocks.#.", _SWIN + "swin.encoder.layers.#.blocks.#.")
_MERGE = ("backbone.stages.#.downsample.", _SWIN + "swin.encoder.layers.#.downsample.")
_PIXEL = ("panoptic_head.pixel_decoder.encoder.layers.#.", _DECODER + "encoder.layers.#.")
_LAYER = ("panoptic_head.transformer_decoder.layers.#.", _QUERIES + "decoder.layers.#.")
_HEAD = "panoptic_head."

# "#" stands for a number, "*" for weight or bias, "@" for q, k and v, which MMDetection packs into
# one tensor.
NAMES: dict[str, str] = {
    "backbone.patch_embed.projection.*": _SWIN + "swin.embeddings.patch_embeddings.projection.*",
    "backbone.patch_embed.norm.*": _SWIN + "swin.embeddings.norm.*",
    **{
        _BLOCK[0] + theirs: _BLOCK[1] + ours
        for theirs, ours in {
            "norm1.*": "layernorm_before.*",
            "norm2.*": "layernorm_after.*",
            "attn.w_msa.relative_position_bias_table": (
                "attention.relative_position_bias.relative_position_bias_table"
            ),
            "attn.w_msa.qkv.*": "attention.@_proj.*",
            "attn.w_msa.proj.*": "attention.o_proj.*",
            "ffn.layers.0.0.*": "mlp.fc1.*",
            "ffn.layers.1.*": "mlp.fc2.*",
        }.items()
    },
    _MERGE[0] + "norm.*": _MERGE[1] + "norm.*",
    _MERGE[0] + "reduction.weight": _MERGE[1] + "reduction.weight",
    # MMDetection counts norms from 0; transformers counts stages from 1.
    **{f"backbone.norm{i}.*": f"{_SWIN}hidden_states_norms.stage{i + 1}.*" for i in range(4)},
    **{
        _HEAD + "pixel_decoder." + theirs: _DECODER + ours
        for theirs, ours in {
            "input_convs.#.conv.*": "input_projections.#.0.*",
            "input_convs.#.gn.*": "input_projections.#.1.*",
            "level_encoding.weight": "level_embed",
            "lateral_convs.0.conv.weight": "adapter_1.0.weight",
            "lateral_convs.0.gn.*": "adapter_1.1.*",
            "output_convs.0.conv.weight": "layer_1.0.weight",
            "output_convs.0.gn.*": "layer_1.1.*",
            "mask_feature.*": "mask_projection.*",
        }.items()
    },
    **{
        f"{_PIXEL[0]}attentions.0.{part}.*": f"{_PIXEL[1]}self_attn.{part}.*"
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
    },
    _PIXEL[0] + "norms.0.*": _PIXEL[1] + "self_attn_layer_norm.*",
    _PIXEL[0] + "norms.1.*": _PIXEL[1] + "final_layer_norm.*",
    _LAYER[0] + "attentions.0.attn.in_proj_*": _LAYER[1] + "cross_attn.in_proj_*",
    _LAYER[0] + "attentions.0.attn.out_proj.*": _LAYER[1] + "cross_attn.out_proj.*",
    _LAYER[0] + "attentions.1.attn.in_proj_*": _LAYER[1] + "self_attn.@_proj.*",
    _LAYER[0] + "attentions.1.attn.out_proj.*": _LAYER[1] + "self_attn.out_proj.*",
    _LAYER[0] + "norms.0.*": _LAYER[1] + "cross_attn_layer_norm.*",
    _LAYER[0] + "norms.1.*": _LAYER[1] + "self_attn_layer_norm.*",
    _LAYER[0] + "norms.2.*": _LAYER[1] + "final_layer_norm.*",
    **{
        layer[0] + theirs: layer[1] + ours
        for layer in (_PIXEL, _LAYER)
        for theirs, ours in {"ffns.0.layers.0.0.*": "fc1.*", "ffns.0.layers.1.*": "fc2.*"}.items()
    },
    _HEAD + "transformer_decoder.post_norm.*": _QUERIES + "decoder.layernorm.*",
    _HEAD + "query_feat.weight": _QUERIES + "queries_features.weight",
    _HEAD + "query_embed.weight": _QUERIES + "queries_embedder.weight",
    _HEAD + "level_embed.weight": _QUERIES + "level_embed.weight",
    **{
        f"{_HEAD}mask_embed.{2 * i}.*": f"{_QUERIES}decoder.mask_predictor.mask_embedder.{i}.0.*"
        for i in range(3)
    },
    _HEAD + "cls_embed.*": "class_predictor.*",
    _HEAD + "decoder_input_projs.#.*": _QUERIES + "input_projections.#.*",
}


def generation_2(name: str) -> str:
    """A tensor's name in MMDetection 2.x; names that are already 2.x stay unchanged."""
    name = name.removeprefix("module.")
    for pattern, replacement in GENERATION_3:
        name = re.sub(pattern, replacement, name)
    return name


def _pattern(template: str) -> re.Pattern[str]:
    parts = {"#": r"(\d+)", "*": "(weight|bias)", "@": "([qkv])"}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in template) + r"\Z")


@dataclass(frozen=True)
class _Rule:
    source: re.Pattern[str]
    target: str

    def names(self, match: re.Match[str]) -> list[str]:
        """The transformers name, or the three names for a packed tensor."""
        values = iter(match.groups())
        name = "".join(next(values) if c in "#*" else c for c in self.target)
        return [name.replace("@", letter) for letter in "qkv"] if "@" in name else [name]


_RULES = [_Rule(_pattern(theirs), ours) for theirs, ours in NAMES.items()]


def target_names(name: str) -> list[str]:
    """The transformers names for a 2.x tensor; empty if it has no place in the network."""
    for rule in _RULES:
        if match := rule.source.match(name):
            return rule.names(match)
    return []


def _merge_order(last: Tensor) -> Tensor:
    """Reorder patch merging's inputs (..., 4C) from [c, dy, dx], as MMDetection unfolds them, to
    [dx, dy, c], as transformers concatenates the four shifted maps."""
    shaped = last.unflatten(-1, (-1, 2, 2))  # (..., C, dy, dx)
    return shaped.movedim((-1, -2, -3), (-3, -2, -1)).flatten(-3)


def to_transformers(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under transformers' names, and the 2.x names that have no place there.

    Index buffers of the position bias are skipped; ``wrong_position_index`` checks them."""
    converted: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        if POSITION_INDEX.match(name):
            continue
        names = target_names(name)
        if ".downsample." in name:
            value = _merge_order(value)
        for target, part in zip(names, value.chunk(len(names)) if names else (), strict=True):
            converted[target] = part.contiguous()
        if not names:
            unknown.append(name)
    return converted, unknown


def position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of positions in a window, (window², window²) int64."""
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    down, across = rows.flatten(), columns.flatten()
    down, across = down[:, None] - down, across[:, None] - across
    return (down + window - 1) * (2 * window - 1) + across + window - 1


def wrong_position_index(state: Mapping[str, Tensor]) -> list[str]:
    """Names of index buffers whose bias table has a different order than in transformers."""
    return [
        name
        for name, value in state.items()
        if POSITION_INDEX.match(name)
        and not torch.equal(value, position_index(round(len(value) ** 0.5)))
    ]


def _counted(template: str, names: Iterable[str]) -> int:
    known = set(names)
    return next(i for i in count() if template.format(i) not in known)


def network_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Sizes of the network from 2.x names and shapes, as fields of transformers' configuration.

    ``backbone`` holds the fields of the Swin backbone. Raises KeyError if a name is missing, and
    ValueError if encoder and decoder differ in heads or width, which transformers cannot express.
    """
    stage = "backbone.stages.{}.blocks.0.attn.w_msa.relative_position_bias_table"
    block = "backbone.stages.%d.blocks.{}.norm1.weight"
    stages = _counted(stage, shapes)
    embed = shapes["backbone.patch_embed.projection.weight"]
    pixel, decoder = _HEAD + "pixel_decoder.encoder.layers.{}.", _LAYER[0].replace("#", "{}")
    width = shapes[_HEAD + "query_feat.weight"][1]
    levels, points = shapes[_HEAD + "level_embed.weight"][0], 4
    offsets = shapes[pixel.format(0) + "attentions.0.sampling_offsets.weight"][0]
    heads, rest = divmod(offsets, levels * points * 2)
    if rest or levels != 3 or width % heads:
        raise ValueError(
            f"{offsets} sampling offsets on {levels} levels do not give a whole number of heads"
        )
    table = shapes[stage.format(0)][0]
    return {
        "feature_size": width,
        "hidden_dim": width,
        "mask_feature_size": shapes[_HEAD + "pixel_decoder.mask_feature.weight"][0],
        "num_attention_heads": heads,
        "encoder_layers": _counted(pixel + "norms.0.weight", shapes),
        "encoder_feedforward_dim": shapes[pixel.format(0) + "ffns.0.layers.0.0.weight"][0],
        # transformers counts the prediction before the first layer as a layer.
        "decoder_layers": _counted(decoder + "norms.0.weight", shapes) + 1,
        "dim_feedforward": shapes[decoder.format(0) + "ffns.0.layers.0.0.weight"][0],
        "num_queries": shapes[_HEAD + "query_feat.weight"][0],
        "num_labels": shapes[_HEAD + "cls_embed.weight"][0] - 1,
        "enforce_input_projection": _HEAD + "decoder_input_projs.0.weight" in shapes,
        "backbone": {
            "embed_dim": embed[0],
            "patch_size": embed[2],
            "depths": [_counted(block % i, shapes) for i in range(stages)],
            "num_heads": [shapes[stage.format(i)][1] for i in range(stages)],
            "window_size": (round(table**0.5) + 1) // 2,
            "mlp_ratio": shapes["backbone.stages.0.blocks.0.ffn.layers.0.0.weight"][0] / embed[0],
            "out_features": [f"stage{i + 1}" for i in range(stages)],
        },
    }
