"""From weight files to named tensors to a Harmon: our safetensors folder, the authors' .pth, their
hub folders.

Nothing from a checkpoint is ever executed: safetensors, or ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from harmon_eval.model import keys
from harmon_eval.model.config import HarmonConfig, LLMConfig
from harmon_eval.model.harmon import Harmon

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "harmon_eval"
VAE_FILES = ("kl16.ckpt", "vae/kl16.ckpt")


class CheckpointError(ValueError):
    """The weights cannot be used; the message names what is wrong and what to do."""


def read(path: Path, kl16: Path | None = None) -> tuple[HarmonConfig, dict[str, Tensor]]:
    """Configuration and tensors in our names. Raises CheckpointError."""
    if path.is_dir() and (path / CONFIG).exists():
        values = read_json(path / CONFIG)
        if values.get("format") == FORMAT:
            weights = _read_tensors(path / WEIGHTS)
            config = {k: v for k, v in values.items() if k != "format"}
            try:
                return HarmonConfig.from_dict(config), weights
            except TypeError as error:
                raise CheckpointError(
                    f"{path / CONFIG} does not fit this version: {error}"
                ) from None
    files = _weight_files(path) if path.is_dir() else [path]
    raw: dict[str, Tensor] = {}
    for file in files:
        raw |= _read_tensors(file)
    folder = path if path.is_dir() else path.parent
    return from_authors(raw, lambda: read_kl16(kl16, folder), _llm_config(folder))


def _weight_files(folder: Path) -> list[Path]:
    for pattern in ("*.safetensors", "pytorch_model*.bin", "*.pth"):
        if files := sorted(folder.glob(pattern)):
            return files
    raise CheckpointError(
        f"{folder} holds no weights: expected {WEIGHTS}, model-*.safetensors, "
        "pytorch_model*.bin or a .pth file"
    )


def _read_tensors(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: copy it there or pass another --model")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        values = torch.load(file, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        OSError,
    ) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{file} is truncated, damaged or no weights file ({reason}): download it again"
        ) from None
    if isinstance(values, Mapping) and isinstance(values.get("model"), Mapping):
        values = values["model"]
    if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
        values = values["state_dict"]
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{file} holds a {type(values).__name__}, not named tensors")
    return {name: tensor for name, tensor in values.items() if isinstance(tensor, Tensor)}


def read_kl16(kl16: Path | None, folder: Path) -> dict[str, Tensor]:
    """Tensors of ``kl16.ckpt``, given or found beside the model."""
    places = [kl16] if kl16 else [folder / name for name in VAE_FILES]
    for place in places:
        if place.exists():
            return _read_tensors(place)
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
    try:
        config = keys.infer_config(weights, mar_heads)
    except KeyError as error:
        raise CheckpointError(f"this is no Harmon checkpoint: tensor {error} is missing") from None
    if llm is not None:
        config = HarmonConfig(config.vae, config.mar, config.head, llm, config.image_size)
    return config, weights


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
    """Sizes of the LLM from a hub folder's config.json, when it states them."""
    file = folder / CONFIG
    values = read_json(file) if file.exists() else {}
    llm = values.get("llm", values.get("llm_config", {}))
    known = {k: v for k, v in llm.items() if k in LLMConfig.__dataclass_fields__}
    return LLMConfig(**known) if "num_attention_heads" in known else None


def read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file} is damaged ({error}): download it again") from None


def build(config: HarmonConfig, weights: Mapping[str, Tensor], source: str) -> Harmon:
    """A model with exactly these weights. Raises CheckpointError naming every tensor that is
    missing, unexpected or misshapen."""
    weights = dict(weights)
    head, embedding = keys.TIED
    if config.llm.tie_word_embeddings and embedding in weights:
        weights.setdefault(head, weights[embedding])
    with torch.device("meta"):
        expected = {n: tuple(t.shape) for n, t in Harmon(config).state_dict().items()}
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
    model = Harmon(config)
    model.load_state_dict(weights)
    return model


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} ({', '.join(names[:most])}{more})"
