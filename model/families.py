"""Recognise folders and tensors of other models than Harmon, and say how to open them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval.model.tensors import CheckpointError, read_json

FORMAT = "harmon_eval"  # in the config.json of our own folders
# LLaVA's authors write these types, which transformers does not read.
LLAVA_ORIGINALS = re.compile(r"llava_(llama|qwen|mistral|gemma|mpt|phi).*")
NO_ADAPTER = (
    "there is no adapter for it yet: docs/adapters.md shows how to add one, or draw with its own "
    "code and score the folder (--model folder:PATH)"
)
LANGUAGE_ALONE = "Harmon needs MAR, head and VAE besides; a training takes it as start.llm"


@dataclass(frozen=True)
class Family:
    """``what`` it is, the ``way`` to use it, and the ``adapter`` that opens it ("": none).

    ``sure``: it is not Harmon, whatever the names of its tensors are."""

    what: str
    way: str
    adapter: str = ""
    sure: bool = True

    def refused(self, place: Path | str) -> CheckpointError:
        return CheckpointError(f"{place} is {self.what}: {self.way}")


OPENUNI = Family("OpenUni, another architecture than Harmon", NO_ADAPTER)
LATER_UNIPIC = Family("a later UniPic, of another architecture than the first", NO_ADAPTER)
# What names of published models hold that are given without their owner, and what opens them.
PUBLISHED = {
    r"harmon[-_]?0[._]?5b": "wusize/Harmon-0_5B",
    r"harmon[-_]?1[._]?5b[-_]?reca|reca\b": "sanaka87/Harmon-1.5B-RecA",
    r"harmon[-_]?1[._]?5b": "wusize/Harmon-1_5B",
    r"unipic": "Skywork/Skywork-UniPic-1.5B",
    r"janus": "janus:deepseek-community/Janus-Pro-1B",
    r"llava": "vlm:llava-hf/llava-1.5-7b-hf",
    r"qwen[-_.\d]*vl": "vlm:Qwen/Qwen2.5-VL-3B-Instruct",
}


def of_hub_id(name: str) -> Family | None:
    """The family of a hub id that would not open as Harmon, known by its name before gigabytes are
    fetched: OpenUni, by Harmon's first author, and the later UniPics."""
    if "openuni" in name.lower():
        return OPENUNI
    return LATER_UNIPIC if re.search(r"unipic[-_]?[2-9]", name.lower()) else None


def meant_by(name: str) -> str:
    """What to give for a model's published name without its owner, such as ``Harmon-1_5B``, or why
    nothing opens it; empty for a name that no family has."""
    small = name.lower()
    if other := of_hub_id(name):
        return f"it is {other.what}: {other.way}"
    for own in ("show-o", "showo", "bagel"):
        if own in small:
            return f"it is {'BAGEL' if own == 'bagel' else 'Show-o'}: {NO_ADAPTER}"
    for pattern, place in PUBLISHED.items():
        if re.search(pattern, small):
            return f"give it with its owner, such as --model {place}"
    return ""


def of_folder(folder: Path) -> Family | None:
    """The family of a folder, from its configuration; None if that does not tell.

    Raises CheckpointError if the configuration cannot be read."""
    if (folder / "model_index.json").exists():
        name = read_json(folder / "model_index.json").get("_class_name", "a pipeline")
        return Family(f"a diffusers folder ({name})", f"--model diffusers:{folder}", "diffusers")
    names = {path.name for path in folder.iterdir()}
    if {"ema.safetensors", "ae.safetensors"} <= names or {
        "llm_config.json",
        "vit_config.json",
    } <= names:
        return Family("a BAGEL folder", NO_ADAPTER)
    if "config.json" not in names:
        return None
    values = read_json(folder / "config.json")
    if values.get("format") == FORMAT:
        return Family("a Harmon folder", f"--model {folder}", "harmon")
    return _of_class(values, folder) or _of_type(values, folder)


def _of_class(values: Mapping[str, Any], folder: Path) -> Family | None:
    """The family from a diffusers or timm configuration, which has no ``model_type``."""
    if name := values.get("_class_name"):
        if "showo" in str(name).lower():
            return Family("a Show-o folder", NO_ADAPTER)
        whole = folder.resolve().parent
        return Family(
            f"one part ({name}) of a diffusers pipeline",
            f"give the folder with model_index.json, such as --model diffusers:{whole}",
        )
    if "architecture" in values and "model_type" not in values:
        return Family(f"a timm folder ({values['architecture']})", f"--model timm:{folder}", "timm")
    return None


def _of_type(values: Mapping[str, Any], folder: Path) -> Family | None:
    from transformers.models.auto import modeling_auto as known

    kind = str(values.get("model_type", ""))
    listed = values.get("architectures")
    name = str(listed[0]) if isinstance(listed, list) and listed else kind
    said = f"{name}, {kind}" if name != kind else kind
    if kind == "janus":
        return Family(f"a Janus folder ({said})", f"--model janus:{folder}", "janus")
    if kind == "multi_modality":
        return Family(
            "Janus in deepseek-ai's own format",
            "take transformers' format, such as --model janus:deepseek-community/Janus-Pro-1B",
        )
    for own in ("show-o", "showo", "bagel", "openuni", "unipic"):
        if own in f"{kind} {name}".lower():
            # The first UniPic is a Harmon, the later ones are not: its tensors tell.
            return Family(f"a folder of {said}", NO_ADAPTER, sure=own != "unipic")
    if LLAVA_ORIGINALS.fullmatch(kind):
        return Family(
            f"a LLaVA folder in its authors' own format ({said})",
            "take transformers' format, such as --model vlm:llava-hf/llava-1.5-7b-hf",
        )
    if kind in known.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return Family(f"a vision-language folder ({said})", f"--model vlm:{folder}", "vlm")
    if kind in known.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES:
        return Family(
            f"a folder of a vision encoder ({said})", f"--model vision:{folder}", "vision"
        )
    if kind in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return Family(f"a language model alone ({said})", LANGUAGE_ALONE, sure=False)
    if kind in known.MODEL_MAPPING_NAMES:
        return Family(f"a folder of {said} of transformers", NO_ADAPTER, sure=False)
    return None


def of_names(names: Collection[str]) -> Family | None:
    """The family from the names of tensors. None for Harmon and for unknown models."""

    def some(*prefixes: str) -> bool:
        return any(name.startswith(prefixes) for name in names)

    if some("meta_queries") or (some("lmm.") and some("connector.", "transformer.")):
        return OPENUNI
    if some("mar.") and some("llm."):
        return None
    if some("showo."):
        return Family("Show-o", NO_ADAPTER)
    if some("vae2llm.", "llm2vae."):
        return Family("BAGEL", NO_ADAPTER)
    if some("gen_vision_model.", "gen_head.", "model.vqmodel.", "model.generation_head."):
        return Family("Janus", "give its whole folder in transformers' format: --model janus:PATH")
    if some("multi_modal_projector.", "vision_tower.", "model.vision_tower.", "visual.", "mm_proj"):
        return Family("a vision-language model", "give its whole folder: --model vlm:PATH")
    if some("diffloss.", "encoder_blocks."):
        return Family("MAR alone", "a training takes it as start.mar; Harmon has an LLM besides")
    if some("model.diffusion_model.", "down_blocks.", "transformer_blocks.", "double_blocks."):
        return Family("a diffusion network", "give its pipeline's folder: --model diffusers:PATH")
    if some("quant_conv.") and some("encoder."):
        return Family("a VAE alone", "pass it as ?kl16=FILE, beside the weights of a Harmon")
    if some("model.layers.", "lm_head.", "layers."):
        return Family("a language model alone", LANGUAGE_ALONE)
    return None
