"""What adapters ask of a folder before a library opens it: is it theirs, and is it whole."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.model import families
from harmon_eval.model.tensors import CheckpointError
from harmon_eval.model.weight_files import choose, of_library, refuse_adapters

# Adapter -> the adapters whose folders it opens too. What no family knows may be tried.
OPENS = {
    "vlm": ("vlm", "janus"),
    "janus": ("janus",),
    "vision": ("vision", "vlm", "janus", "timm"),
    "timm": ("timm",),
    "diffusers": ("diffusers",),
}


def check_folder(adapter: str, place: str | Path, read: bool = True) -> None:
    """Raises UserError for a folder of another family, or with weights that are not whole. Names
    on a hub are no folders and pass. Without ``read`` no weights are read."""
    folder = Path(place)
    if not folder.is_dir():
        return
    try:
        family = families.of_folder(folder)
        if family and family.adapter not in OPENS[adapter] and (family.sure or adapter == "vlm"):
            raise family.refused(folder)
        if adapter == "diffusers":
            refuse_adapters(folder)
            for part in sorted(path for path in folder.iterdir() if path.is_dir()):
                of_library(part, "diffusion_pytorch_model")
                of_library(part)
        elif adapter == "timm":
            # timm takes the first name that it likes, and pickles too.
            weights = choose(folder)
            weights.read() if read else weights.check()
        else:
            of_library(folder)
    except CheckpointError as error:
        start = f"timm cannot load {str(place)!r}: " if adapter == "timm" else ""
        raise UserError(f"{start}{error}") from None


def check_loaded(
    place: str, info: Mapping[str, Any], unused: tuple[str, ...] = ()
) -> frozenset[str]:
    """Raises UserError where transformers filled weights at random, having found none or others.

    Gives the names of those that begin with ``unused``: random, and never asked."""
    missing = {str(name) for name in info.get("missing_keys", ())}
    random = frozenset(name for name in missing if unused and name.startswith(unused))
    if wrong := sorted(missing - random):
        raise UserError(f"{place} lacks weights: {_some(wrong)}; download it again")
    if other := sorted(str(each) for each in info.get("mismatched_keys", ())):
        raise UserError(f"{place} holds weights of other shapes: {_some(other)}")
    return random


def weights_hash(folder: Path) -> str:
    """SHA-256 over the safetensors files that transformers loads, in the order of their names."""
    try:
        found = of_library(folder)
    except CheckpointError as error:
        raise UserError(str(error)) from None
    digest = hashlib.sha256()
    for file in sorted(found.files if found else ()):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _some(names: Collection[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(list(names)[:most]) + more
