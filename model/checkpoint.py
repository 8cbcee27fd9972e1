"""Weights in and out: our safetensors folder, the authors' .pth, their hub folders.

Nothing from a checkpoint is ever executed: safetensors, or ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from harmon_eval.model import keys
from harmon_eval.model.config import HarmonConfig, LLMConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import Processor
from harmon_eval.model.sampling import DrawSettings

BUNDLED = Path(__file__).parent / "bundled"
WEIGHTS, CONFIG, DRAWING = "model.safetensors", "config.json", "generation_config.json"
FORMAT = "harmon_eval"
VAE_FILES = ("kl16.ckpt", "vae/kl16.ckpt")
TOKENIZERS = {896: "Qwen/Qwen2.5-0.5B-Instruct", 1536: "Qwen/Qwen2.5-1.5B-Instruct"}


class CheckpointError(ValueError):
    """The weights cannot be used; the message names what is wrong and what to do."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to use, with what identifies it."""

    name: str
    pipeline: HarmonPipeline
    draw_settings: DrawSettings
    fingerprint: str


def bundled_names() -> list[str]:
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{WEIGHTS}"))


def load(
    name_or_path: str,
    kl16: Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Loaded:
    """Open a bundled name, a folder, a ``.pth`` (with ``kl16.ckpt``) or a hub id.

    Raises CheckpointError."""
    name = "harmon-mini" if name_or_path == "harmon" else name_or_path
    path = locate(name)
    config, weights = read(path, kl16)
    fingerprint = hash_weights(weights)
    model = build(config, weights, str(path)).to(device=device, dtype=dtype).eval()
    processor = _processor(path if path.is_dir() else path.parent, config)
    settings = _draw_settings(path)
    return Loaded(name, HarmonPipeline(model, processor), settings, fingerprint)


def locate(name: str) -> Path:
    """The file or folder that ``name`` stands for; hub ids are downloaded (weights, texts)."""
    if name in bundled_names():
        return BUNDLED / name
    path = Path(name).expanduser()
    if path.exists():
        return path
    known = ", ".join(bundled_names())
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or path.suffix:
        raise CheckpointError(
            f"no model {name!r}: give a bundled name ({known}), a folder, a .pth file, or a hub id "
            "such as wusize/Harmon-1_5B"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.safetensors", "*.bin", "*.pth", "*.ckpt", "*.json", "*.txt"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"cannot fetch {name!r} from the hub ({type(error).__name__}): on a machine with "
            f"network run `hf download {name} --local-dir DIR`, copy DIR here and pass --model DIR"
        ) from None


# -- reading ---------------------------------------------------------------------------------


def read(path: Path, kl16: Path | None = None) -> tuple[HarmonConfig, dict[str, Tensor]]:
    """Configuration and tensors in our names. Raises CheckpointError."""
    if path.is_dir() and (path / CONFIG).exists():
        values = _read_json(path / CONFIG)
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
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError,
            OSError) as error:  # fmt: skip
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
    raw: Mapping[str, Tensor], vae: Any, llm: LLMConfig | None = None, mar_heads: int | None = None
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
    values = _read_json(file) if file.exists() else {}
    llm = values.get("llm", values.get("llm_config", {}))
    known = {k: v for k, v in llm.items() if k in LLMConfig.__dataclass_fields__}
    return LLMConfig(**known) if "num_attention_heads" in known else None


def _read_json(file: Path) -> dict[str, Any]:
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


def _processor(folder: Path, config: HarmonConfig) -> Processor:
    if (folder / "tokenizer_config.json").exists() or (folder / "tokenizer.json").exists():
        return Processor.from_folder(folder)
    name = TOKENIZERS.get(config.llm.hidden_size)
    if name is None:
        raise CheckpointError(f"{folder} holds no tokenizer: copy tokenizer.json there")
    try:
        return Processor.from_name(name)
    except OSError:
        raise CheckpointError(
            f"{folder} holds no tokenizer and {name} cannot be fetched: copy tokenizer.json and "
            f"tokenizer_config.json of {name} into {folder}"
        ) from None


def _draw_settings(path: Path) -> DrawSettings:
    file = path / DRAWING
    if not (path.is_dir() and file.exists()):
        return DrawSettings()
    known = DrawSettings.__dataclass_fields__
    return DrawSettings(**{k: v for k, v in _read_json(file).items() if k in known})


# -- writing ---------------------------------------------------------------------------------


def save(
    model: Harmon,
    processor: Processor,
    folder: Path,
    settings: DrawSettings | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write our folder, whole or not at all: weights, configuration, tokenizer, how to draw."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        weights = {
            name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous().clone()
            for name, tensor in model.state_dict().items()
            if not (model.config.llm.tie_word_embeddings and name == keys.TIED[0])
        }
        save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
        config = {"format": FORMAT, **model.config.to_dict()}
        (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        if settings:
            text = json.dumps(asdict(settings), indent=2)
            (temporary / DRAWING).write_text(text + "\n")
        processor.save(temporary)
        folder.mkdir(exist_ok=True)
        # The weights come last: a folder without them is seen as unfinished, not as a model.
        for file in sorted(temporary.iterdir(), key=lambda f: f.name == WEIGHTS):
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes, types and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().contiguous().cpu()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.ndim else
                      tensor.reshape(1).view(torch.uint8).numpy().tobytes())  # fmt: skip
    return digest.hexdigest()
