"""From weight files to named tensors to a Harmon: our safetensors folder, the authors' .pth, their
hub folders, and what trainers write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harmon_eval.model import families, keys, placing
from harmon_eval.model.config import UNIPIC_1, HarmonConfig, LLMConfig
from harmon_eval.model.families import FORMAT
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.tensors import CheckpointError, plain_names, read_json, read_tensors
from harmon_eval.model.weight_files import choose

__all__ = ["CheckpointError", "build", "from_authors", "read", "read_json", "to_authors"]

logger = logging.getLogger(__name__)

WEIGHTS, CONFIG, SAFE = "model.safetensors", "config.json", ".safetensors"
VAE_FILES = ("kl16.ckpt", "vae/kl16.ckpt")
LLM_FOLDERS = "Qwen2*-Instruct"

MOST_REPEATS, MOST_WIDE = 512, 2**22  # of layers; of a width, a vocabulary or a number of steps


def read(path: Path, kl16: Path | None = None) -> tuple[HarmonConfig, dict[str, Tensor]]:
    """Configuration and tensors in our names. Raises CheckpointError."""
    folder = path if path.is_dir() else path.parent
    family = _family(path)
    if config := config_at(path):
        return config, choose(path).read()
    raw = plain_names(choose(path).read(), keys.BEGINNINGS)
    other = families.of_names(raw) or (None if "mar.z_proj.weight" in raw else family)
    if other:
        raise other.refused(path)
    if not any(name.startswith("mar.") for name in raw):
        raise CheckpointError(
            f"{path} is no Harmon checkpoint: its tensors have names such as {min(raw)[:100]}"
        )
    return from_authors(raw, lambda: read_kl16(kl16, folder), _llm_config(folder))


def check_weights(path: Path) -> None:
    """Raises CheckpointError for a file or folder of another model, or one that is not whole.
    Reads no weights."""
    _family(path)
    choose(path).check()


def _family(path: Path) -> families.Family | None:
    """Raises CheckpointError for a folder that is surely another model's."""
    family = families.of_folder(path) if path.is_dir() else None
    if family and family.sure and family.adapter != "harmon":
        raise family.refused(path)
    return family


def config_at(path: Path) -> HarmonConfig | None:
    """Of weights that we wrote, in a folder or a safetensors file; None for others. Raises
    CheckpointError."""
    if path.is_dir():
        return own_config(path)
    return own_config(path.parent) if SAFE in path.suffixes else None


def own_config(folder: Path) -> HarmonConfig | None:
    """Of a folder that we wrote; None for others. Raises CheckpointError."""
    file = folder / CONFIG
    values = read_json(file) if file.exists() else {}
    if values.pop("format", None) != FORMAT:
        return None
    if odd := _odd_size(values):
        raise CheckpointError(f"{file}: {odd}: no model of ours has such a size")
    try:
        return HarmonConfig.from_dict(values)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{file} does not fit this version: {error}") from None


def _odd_size(values: Mapping[str, Any], name: str = "") -> str:
    """A size that would keep this machine busy before the weights could contradict it."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            found = _odd_size(value, f"{key}.")
        else:
            repeated = any(word in key for word in ("depth", "layers", "blocks", "multipliers"))
            most = MOST_REPEATS if repeated else MOST_WIDE
            numbers = value if isinstance(value, list) else [value]
            odd = [n for n in numbers if isinstance(n, int) and not 0 <= n <= most]
            found = f"{name}{key} is {odd[0]}" if odd else ""
            found = found or (f"{name}{key} has {len(numbers)} parts" if len(numbers) > 64 else "")
        if found:
            return found
    return ""


def read_kl16(kl16: Path | None, folder: Path) -> dict[str, Tensor]:
    """Tensors of ``kl16.ckpt``, given or found beside the model."""
    # A folder such as iter_5000.pth is one checkpoint of those that share a VAE.
    around = [folder, folder.parent] if folder.suffix == ".pth" else [folder]
    places = [kl16] if kl16 else [place / name for place in around for name in VAE_FILES]
    for place in places:
        if place.exists() or place.is_symlink():
            return plain_names(read_tensors(place, prefer="model"), keys.VAE_PARTS)
    raise CheckpointError(
        f"the checkpoint holds no VAE and {places[0]} is missing: download kl16.ckpt (MAR's KL-16 "
        "VAE) and put it there, or pass --kl16 FILE"
    )


def from_authors(
    raw: Mapping[str, Tensor],
    vae: Callable[[], Mapping[str, Tensor]],
    llm: LLMConfig | None = None,
    mar_heads: int | None = None,
) -> tuple[HarmonConfig, dict[str, Tensor]]:
    """Tensors in the authors' names to ours; ``vae()`` gives those of kl16.ckpt where needed."""
    weights = {
        keys.from_authors(name): tensor
        for name, tensor in raw.items()
        if not name.startswith(keys.IGNORED)
    }
    if not any(name.startswith(keys.VAE_PREFIX) for name in weights):
        weights |= {
            keys.VAE_PREFIX + name: tensor
            for name, tensor in vae().items()
            if name.startswith(keys.VAE_PARTS)
        }
    unipic = any(name.startswith(keys.UNIPIC) for name in raw)
    try:
        if unipic:
            config = keys.infer_config(weights, mar_heads, keys.UNIPIC_MAX_BETA)
        else:
            config = keys.infer_config(weights, mar_heads)
            _warn_of_cap(config)
    except KeyError as error:
        raise CheckpointError(f"this is no Harmon checkpoint: tensor {error} is missing") from None
    if llm is not None:
        config = HarmonConfig(config.vae, config.mar, config.head, llm, config.image_size)
    return config, weights


def _warn_of_cap(config: HarmonConfig) -> None:
    """UniPic-1 without its SigLIP2 has the names of a Harmon, and only its sizes to know it by."""
    if (config.mar.grid, config.mar.width) == (UNIPIC_1.mar.grid, UNIPIC_1.mar.width):
        logger.warning(
            "position tables for 512 px, as in UniPic-1, but none of its siglip2_proj tensors: "
            "read as a Harmon. If these are UniPic-1's weights, give max_beta=0.2, the cap of its "
            "noise schedule"
        )


def to_authors(model: Harmon) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The other direction: (tensors of a harmon_*.pth, tensors of kl16.ckpt)."""
    state = model.state_dict()
    vae = {
        name.removeprefix(keys.VAE_PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(keys.VAE_PREFIX)
    }
    rest = {
        keys.to_authors(name): tensor
        for name, tensor in state.items()
        if not name.startswith(keys.VAE_PREFIX)
    }
    return rest, vae


def _llm_config(folder: Path) -> LLMConfig | None:
    """Sizes of the LLM from a hub folder's config.json, or from that of the LLM's own folder inside
    (UniPic-1), when one states them."""
    for place in (folder, *sorted(folder.glob(LLM_FOLDERS))):
        file = place / CONFIG
        values = read_json(file) if file.exists() else {}
        llm = values if place != folder else values.get("llm", values.get("llm_config"))
        if isinstance(llm, dict) and "num_attention_heads" in llm:
            return LLMConfig(
                **{k: v for k, v in llm.items() if k in LLMConfig.__dataclass_fields__}
            )
    return None


def build(
    config: HarmonConfig,
    weights: Mapping[str, Tensor],
    source: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seen: Callable[[str, Tensor], None] = lambda name, tensor: None,
) -> Harmon:
    """A model with exactly these weights, which are not copied where they are as they should be.

    ``seen(name, tensor)`` is called for each weight as given, sorted by name. Raises
    CheckpointError naming every tensor that is missing, unexpected or misshapen."""
    with torch.device("meta"):
        model = Harmon(config)
    _check(model, weights, source)
    placed = placing.place(weights, torch.device(device), dtype, seen)
    head, embedding = keys.TIED
    if config.llm.tie_word_embeddings:
        placed[head] = placed[embedding] = placed.get(head, placed[embedding])
    model.load_state_dict(placed, assign=True)
    model.llm.tie()
    return model


def _check(model: Harmon, weights: Mapping[str, Tensor], source: str) -> None:
    head, embedding = keys.TIED
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if model.config.llm.tie_word_embeddings and embedding in weights and head not in weights:
        del expected[head]
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    misshapen = [
        f"{name} is {tuple(weights[name].shape)}, not {shape}"
        for name, shape in expected.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    problems = [
        f"{kind}: {_listed(names)}"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", misshapen),
        )
        if names
    ]
    if problems:
        raise CheckpointError(f"{source} does not fit Harmon: {'; '.join(problems)}")


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} ({', '.join(names[:most])}{more})"
