"""Latents encoded once, in advance: known by the hash of the VAE's weights and of the transform."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from harmon_eval.model.fingerprint import hash_weights
from harmon_eval.model.train.recipe import DRAWN, Recipe, RecipeError, Source
from harmon_eval.model.train.sources import BROKEN, BrokenRow, Rows
from harmon_eval.model.vae import VAE

PART, BATCH = 4096, 32  # pictures a file, pictures encoded at once


def latents_key(vae: VAE, source: Source, seed: int, size: int) -> str:
    """Hash of all that decides the latents: VAE weights and scale, the data, the transform."""
    transform = f"{source.crop} crop" if source.task in DRAWN else "grey padding"
    if source.data == "scenes":
        # Scenes are squares of their own size: to draw or to see, they are the same pictures.
        said = ["scenes", source.split, source.scenes, seed, size]
        said += [source.crowded] if source.crowded else []
    else:
        said = [
            source.data,
            source.files,
            source.split,
            source.image,
            source.images,
            transform,
            size,
        ]
    if source.task == "edit":  # two pictures a row
        said += ["edit", source.source, source.prompt]
    text = json.dumps([hash_weights(vae.state_dict()), vae.config.scale, *said])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class CachedLatents:
    """The folder of one source's latents, opened for reading. Edits also have those of ``sources``,
    the pictures to change."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.broken: dict[str, str] = manifest["broken"]
        self._files = [
            safe_open(folder / f"{part:05d}.safetensors", framework="pt")
            for part in range(manifest["parts"])
        ]

    def at(self, index: int, pictures: str = "latents") -> Tensor:
        """Latents (m, n, C) float32 of row ``index``. Raises BrokenRow."""
        if reason := self.broken.get(str(index)):
            raise BrokenRow(reason)
        part, place = divmod(index, PART)
        return self._files[part].get_slice(pictures)[place].float()


def precompute(
    recipe: Recipe, number: int, rows: Rows, vae: VAE, size: int, folder: Path
) -> CachedLatents:
    """Encode all pictures of a source into ``folder``, or open what is there already.

    Finished parts are kept when it is interrupted. Latents are stored as the VAE gives them in
    float32, so they equal fresh ones. Raises RecipeError for a source without a length."""
    source = recipe.sources[number]
    if rows.length is None:
        raise RecipeError(f"sources.{number} has no end, or no pictures: it cannot be cached")
    place = folder / latents_key(vae, source, recipe.seed, size)
    if (place / "manifest.json").exists():
        return CachedLatents(place)
    place.mkdir(parents=True, exist_ok=True)
    broken: dict[str, str] = {}
    starts = range(0, rows.length, PART)
    for part, start in enumerate(starts):
        file, notes = place / f"{part:05d}.safetensors", place / f"{part:05d}.json"
        if not (file.exists() and notes.exists()):
            indices = range(start, min(rows.length, start + PART))
            tensors, bad = _part(source, rows, indices, vae, size)
            notes.write_text(json.dumps(bad), encoding="utf-8")
            temporary = file.with_suffix(".tmp")
            save_file(tensors, temporary)
            temporary.replace(file)
        broken |= json.loads(notes.read_text(encoding="utf-8"))
    manifest = {"parts": len(starts), "count": rows.length, "broken": broken}
    temporary = place / "manifest.tmp"
    temporary.write_text(json.dumps(manifest), encoding="utf-8")
    temporary.replace(place / "manifest.json")
    return CachedLatents(place)


NAMES = {"pixels": "latents", "source_pixels": "sources"}


def _part(
    source: Source, rows: Rows, indices: range, vae: VAE, size: int
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Latents of these rows, one tensor for each of their pictures, and why rows are broken."""
    from harmon_eval.model.train.batches import row_pixels

    rng = np.random.default_rng(0)  # asked for, and without effect: the crop is not random
    bad: dict[str, str] = {}
    blank = torch.zeros(3, size, size)
    wanted = list(NAMES) if source.task == "edit" else ["pixels"]
    parts: dict[str, list[Tensor]] = {NAMES[name]: [] for name in wanted}
    for begin in range(0, len(indices), BATCH):
        chunk: list[dict[str, Tensor]] = []
        for index in indices[begin : begin + BATCH]:
            try:
                chunk.append(row_pixels(source, rows.row(index, rng), size, rng))
            except BROKEN as error:
                bad[str(index)] = f"{type(error).__name__}: {error}"[:500]
                chunk.append(dict.fromkeys(wanted, blank))
        for name in wanted:
            encoded = _encoded(vae, torch.stack([pictures[name] for pictures in chunk]))
            parts[NAMES[name]].append(encoded)
    return {name: torch.cat(tensors).contiguous() for name, tensors in parts.items()}, bad


@torch.no_grad()
def _encoded(vae: VAE, pixels: Tensor) -> Tensor:
    parameter = next(vae.parameters())
    # Contiguous, because convolutions on channels-last CPU tensors take much longer.
    images = pixels.contiguous().to(parameter.device, parameter.dtype)
    return vae.encode(images).float().cpu()
