"""Whole models in and out: weights, processor and how to draw, by name, path or hub id."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from harmon_eval.model import families, keys, placing
from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.families import FORMAT
from harmon_eval.model.fingerprint import Fingerprint
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import Processor
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.tensors import CheckpointError, read_json
from harmon_eval.model.weights import (
    CONFIG,
    LLM_FOLDERS,
    SAFE,
    WEIGHTS,
    build,
    check_weights,
    config_at,
    own_config,
    read,
)

BUNDLED = Path(__file__).parent / "bundled"
DRAWING, TRAINING = "generation_config.json", "training.json"
DISTILLED = "fast"  # inside a model's folder: the same model, distilled to draw in less time
UNCHANGED = ("vae.", "llm.", "mar.encoder_")  # parts that distilling leaves alone
MOST_COMPARED = 2**16  # numbers of a tensor: all norms and biases
ROUNDED = 2**-8  # how much saving in another format may change a number
NOT_FAST = "; or leave out fast"
# In every file of ours from before it said whose it is, and in nobody else's.
OWN_KEYS = {"cfg_scale", "iterations", "diffusion_steps"}
UNIPIC_DRAWING = DrawSettings(iterations=32)
# OWNER/NAME, where the name may have a dot: Harmon-1.5B-RecA is no file.
HUB_ID, FILES = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*"), {".pth", ".pt", ".bin", ".ckpt", SAFE}
HUB_FILES = ["*.safetensors", "*.ckpt", "*.json", "*.txt"]
# UniPic-1's weights hold those of its LLM, whose folder has the tokenizer, and its tower is unused.
HUB_UNREAD = ["siglip*/*", *(f"{LLM_FOLDERS}/*.{kind}" for kind in ("safetensors", "bin"))]
TOKENIZERS = {896: "Qwen/Qwen2.5-0.5B-Instruct", 1536: "Qwen/Qwen2.5-1.5B-Instruct"}


@dataclass(frozen=True)
class Loaded:
    """A model ready to use, with what identifies it. ``training``: how it came to be, if known.
    ``distilled``: its form that draws in less time. ``files``: those in which its weights lie while
    it is used, as they were before they were read."""

    name: str
    pipeline: HarmonPipeline
    draw_settings: DrawSettings
    fingerprint: str
    training: Mapping[str, Any] = field(default_factory=dict)
    distilled: bool = False
    files: Mapping[Path, placing.Stamp] = field(default_factory=dict)

    def check(self) -> None:
        """Raises CheckpointError if somebody has written into a file of the weights since they were
        opened: then the model is no longer the one of the fingerprint."""
        if found := placing.written_to(self.files):
            raise CheckpointError(
                f"{found[0]} was written to while its weights were in use, so they are not those "
                "that were opened: run again, and write new weights into another file"
            )


def bundled_names() -> list[str]:
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{WEIGHTS}"))


def load(
    name_or_path: str,
    kl16: Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    max_beta: float | None = None,
    revision: str | None = None,
    fast: bool = False,
) -> Loaded:
    """Open a bundled name, a folder, a ``.pth`` (with ``kl16.ckpt``) or a hub id, which may be at
    another ``revision`` than its newest: a commit, branch or tag.

    ``fast``: the model in its folder ``fast`` instead, or in that beside its file, where there is
    one: the same model, distilled to draw in less time (recipes ``one-pass`` and ``fast-head``).
    One that was made from other weights is refused.

    ``max_beta`` is the cap of the noise schedule, where the weights do not tell (UniPic-1 without
    its SigLIP2: 0.2). Raises CheckpointError."""
    # A run of ``DIR/`` goes on as ``DIR``.
    name = "harmon-mini" if name_or_path == "harmon" else name_or_path.rstrip("/") or name_or_path
    path = locate(name, revision)
    taught = find_distilled(path) if fast else None
    config, weights = read(taught or path, kl16)
    if taught:
        _check_teacher(read(path, kl16)[1], weights, path, taught)
        place = Path(name) if path.is_dir() else Path(name).parent
        name, path = str(place / DISTILLED), taught
    if max_beta is not None:
        config = replace(config, head=replace(config.head, max_beta=max_beta))
    fingerprint, files = Fingerprint(), placing.stamps(weights.values())
    model = build(config, weights, str(path), device, dtype, fingerprint.add).eval()
    folder = path if path.is_dir() else path.parent
    processor = _processor(folder, config)
    settings = read_drawing(folder, config)
    # Beside a file of somebody else's name may lie the record of another model.
    ours = path.is_dir() or own_config(folder) is not None
    record = folder / TRAINING
    training = read_json(record) if ours and record.exists() else {}
    used = placing.stamps(model.state_dict().values())
    return Loaded(
        name,
        HarmonPipeline(model, processor, settings),
        settings,
        fingerprint.text(),
        training,
        bool(taught),
        {path: stamp for path, stamp in files.items() if path in used},
    )


def find_distilled(path: Path) -> Path | None:
    """The folder ``fast`` in a model's folder or beside its file, None where nothing has that name.

    Raises CheckpointError for anything but a whole model of the same sizes that says how it draws:
    nobody who asks for it should get another way of drawing. Reads no weights."""
    place = path if path.is_dir() else path.parent
    folder = place / DISTILLED
    if not path.exists() or not (folder.exists() or folder.is_symlink()):
        return None
    try:
        if not folder.is_dir():
            raise CheckpointError(f"{folder} is no folder with distilled weights")
        check_weights(folder)
        own, model = own_config(folder), config_at(path)
        lacks = [name for name in (DRAWING, "tokenizer.json") if not (folder / name).is_file()]
        if own is None or lacks:
            raise CheckpointError(
                f"{folder} has no {lacks[0] if lacks else CONFIG} of ours: export the model there"
            )
        if model is not None and (odd := _differing(asdict(model), asdict(own))):
            raise CheckpointError(f"{folder} is no form of {path}: it differs in {', '.join(odd)}")
    except CheckpointError as error:
        raise CheckpointError(f"{error}{NOT_FAST}") from None
    return folder


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], within: str = "") -> list[str]:
    found = []
    for name, value in one.items():
        if isinstance(value, Mapping):
            found += _differing(value, other[name], f"{within}{name}.")
        elif value != other[name]:
            found.append(within + name)
    return found


def _check_teacher(
    own: Mapping[str, Tensor], taught: Mapping[str, Tensor], path: Path, folder: Path
) -> None:
    """Raises CheckpointError unless both have the same VAE, encoder and LLM, which no recipe of
    ``DISTILLED`` changes: any training would have changed their small tensors, which are read."""
    for name, tensor in taught.items():
        model = own.get(name)
        if model is None or not name.startswith(UNCHANGED) or tensor.numel() > MOST_COMPARED:
            continue
        same = tensor.shape == model.shape and torch.allclose(
            tensor.float(), model.float(), rtol=ROUNDED, atol=ROUNDED**2
        )
        if not same:
            raise CheckpointError(
                f"{folder} was not made from {path}: their {name} differ. Distil the model again "
                f"and export it there{NOT_FAST}"
            )


def check_name(name: str, revision: str | None) -> None:
    """Raises CheckpointError for a revision of what is not on the hub, and for the name of a run
    with distilled weights."""
    own, _, last = name.rpartition("/")
    if last == DISTILLED and own in bundled_names() and not Path(name).exists():
        raise CheckpointError(
            f"{name} is what runs of {own} with its distilled weights are called: give {own} and "
            "--fast (?fast=true, fast=True)"
        )
    here = name in ("harmon", *bundled_names()) or Path(name).expanduser().exists()
    if revision and here:
        raise CheckpointError(
            f"revision={revision}: {name} lies here and has only one: leave it out, or give "
            "a hub id"
        )


def locate(name: str, revision: str | None = None) -> Path:
    """The file or folder that ``name`` stands for; hub ids are downloaded (weights, texts)."""
    check_name(name, revision)
    if name in bundled_names():
        return BUNDLED / name
    path = Path(name).expanduser()
    if path.exists():
        return path
    known = ", ".join(bundled_names())
    if not HUB_ID.fullmatch(name) or path.suffix in FILES:
        raise CheckpointError(
            f"no model {name!r}: give a bundled name ({known}), a folder, a .pth file, or a hub id "
            "such as wusize/Harmon-1_5B"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if other := families.of_hub_id(name):
        raise other.refused(name)

    def fetched(*files: str) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=[*HUB_FILES, *files],
                ignore_patterns=HUB_UNREAD,
            )
        )

    option = f" --revision {revision}" if revision else ""
    try:
        folder = fetched()
        # Hubs hold the same weights twice, and safetensors are the ones to take.
        if not any(folder.glob("*.safetensors")):
            folder = fetched("*.bin", "*.pth", "*model_states.pt")
        return folder
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"no folder {name!r} here, and it cannot be fetched from the hub "
            f"({type(error).__name__}): on a machine with network run "
            f"`hf download {name}{option} --local-dir DIR`, copy DIR here and give DIR instead"
        ) from None


def _processor(folder: Path, config: HarmonConfig) -> Processor:
    # UniPic-1's folder has its LLM with the tokenizer in a folder inside.
    for place in (folder, *sorted(folder.glob(LLM_FOLDERS))):
        if own := read_processor(place):
            return own
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


def read_processor(folder: Path) -> Processor | None:
    """Of the tokenizer in a folder, None where there is none. Raises CheckpointError."""
    files = [folder / name for name in ("tokenizer.json", "tokenizer_config.json")]
    files = [file for file in files if file.exists() or file.is_symlink()]
    for file in files:
        read_json(file)  # a pointer or half a file is named
    try:
        return Processor.from_folder(folder) if files else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise CheckpointError(f"the tokenizer in {folder} cannot be opened: {reason}") from None


def read_drawing(folder: Path, config: HarmonConfig | None = None) -> DrawSettings:
    """How to draw with the model in a folder: as published where it does not say, which is with 32
    iterations in the scripts of UniPic-1.

    Files of that name by others, such as Qwen's, are about text. Raises CheckpointError."""
    file = folder / DRAWING
    values = read_json(file) if file.exists() else {}
    known = DrawSettings.__dataclass_fields__
    ours = values.pop("format", None) == FORMAT or OWN_KEYS <= values.keys() <= known.keys()
    if not ours:
        unipic = config is not None and config.head.max_beta == keys.UNIPIC_MAX_BETA
        return UNIPIC_DRAWING if unipic else DrawSettings()
    try:
        # JSON has no tuples.
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return DrawSettings(**given)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{file} does not fit this version: {error}") from None


# -- writing ---------------------------------------------------------------------------------


def write_drawing(settings: DrawSettings, folder: Path) -> None:
    values = {"format": FORMAT, **asdict(settings)}
    (folder / DRAWING).write_text(json.dumps(values, indent=2) + "\n")


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
            write_drawing(settings, temporary)
        processor.save(temporary)
        folder.mkdir(exist_ok=True)
        # The weights come last: a folder without them is seen as unfinished, not as a model.
        for file in sorted(temporary.iterdir(), key=lambda f: f.name == WEIGHTS):
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
