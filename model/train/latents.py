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
from harmon_eval.model.train.recipe import Recipe, RecipeError, Source
from harmon_eval.model.train.sources import BROKEN, BrokenRow, Rows
from harmon_eval.model.vae import VAE

PART, BATCH = 4096, 32  # pictures a file, pictures encoded at once


def latents_key(vae: VAE, source: Source, seed: int, size: int) -> str:
    """Hash of all that decides the latents: VAE weights and scale, the data, the transform."""
    transform = f"{source.crop} crop" if source.task == "text2image" else "grey padding"
    if source.data == "scenes":
        # Scenes are squares of their own size: to draw or to see, they are the same pictures.
        said = ["scenes", source.split, source.scenes, seed, size]
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
    text = json.dumps([hash_weights(vae.state_dict()), vae.config.scale, *said])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class CachedLatents:
    """The folder of one source's latents, opened for reading."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.broken: dict[str, str] = manifest["broken"]
        self._files = [
            safe_open(folder / f"{part:05d}.safetensors", framework="pt")
            for part in range(manifest["parts"])
        ]

    def at(self, index: int) -> Tensor:
        """Latents (m, n, C) float32 of row ``index``. Raises BrokenRow."""
        if reason := self.broken.get(str(index)):
            raise BrokenRow(reason)
        part, place = divmod(index, PART)
        return self._files[part].get_slice("latents")[place].float()


def precompute(
    recipe: Recipe, number: int, rows: Rows, vae: VAE, size: int, folder: Path
) -> CachedLatents:
    """Encode all pictures of a source into ``folder``, or open what is there already.

    Finished parts are kept when it is interrupted. Latents are stored as the VAE gives them in
    float32, so they equal fresh ones. Raises RecipeError for a source without a length."""
    from harmon_eval.model.train.batches import picture_pixels

    source = recipe.sources[number]
    if rows.length is None:
        raise RecipeError(f"sources.{number} has no end, or no pictures: it cannot be cached")
    place = folder / latents_key(vae, source, recipe.seed, size)
    if (place / "manifest.json").exists():
        return CachedLatents(place)
    place.mkdir(parents=True, exist_ok=True)
    broken: dict[str, str] = {}
    rng = np.random.default_rng(0)  # asked for, and without effect: the crop is central
    starts = range(0, rows.length, PART)
    for part, start in enumerate(starts):
        file, notes = place / f"{part:05d}.safetensors", place / f"{part:05d}.json"
        if not (file.exists() and notes.exists()):
            bad: dict[str, str] = {}
            parts: list[Tensor] = []
            last = min(rows.length, start + PART)
            for begin in range(start, last, BATCH):
                chunk = []
                for index in range(begin, min(last, begin + BATCH)):
                    try:
                        chunk.append(picture_pixels(source, rows.row(index, rng), size, rng))
                    except BROKEN as error:
                        bad[str(index)] = f"{type(error).__name__}: {error}"[:500]
                        chunk.append(torch.zeros(3, size, size))
                parts.append(_encoded(vae, torch.stack(chunk)))
            notes.write_text(json.dumps(bad), encoding="utf-8")
            temporary = file.with_suffix(".tmp")
            save_file({"latents": torch.cat(parts).contiguous()}, temporary)
            temporary.replace(file)
        broken |= json.loads(notes.read_text(encoding="utf-8"))
    manifest = {"parts": len(starts), "count": rows.length, "broken": broken}
    temporary = place / "manifest.tmp"
    temporary.write_text(json.dumps(manifest), encoding="utf-8")
    temporary.replace(place / "manifest.json")
    return CachedLatents(place)


@torch.no_grad()
def _encoded(vae: VAE, pixels: Tensor) -> Tensor:
    parameter = next(vae.parameters())
    # Contiguous, because convolutions on channels-last CPU tensors take much longer.
    images = pixels.contiguous().to(parameter.device, parameter.dtype)
    return vae.encode(images).float().cpu()
