"""What the mini twins of the editing benchmarks share: images, and those of trivial models."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.edits import MiniEdit, scene_of
from harmon_eval.suites.mini.language import article, enumeration
from harmon_eval.suites.mini.scenes import Scene, render

COPY, IGNORED = "copy_source", "ignore_source"
FLOORS = (COPY, IGNORED)


def png(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(render(scene)).save(buffer, "PNG")
    return buffer.getvalue()


def caption(scene: Scene) -> str:
    """The objects of a scene, one by one."""
    names = [article(f"{item.color} {item.shape}") for item in scene.items]
    return enumeration(names) if names else "a grey picture"


def drawn_anew(edit: MiniEdit, rng: np.random.Generator) -> Scene:
    """A scene with the target's objects, as a model draws it that ignores the source."""
    return scene_of(rng, [(item.color, item.shape) for item in edit.target.items])


def write_floor(folder: Path, sample_id: str, edit: MiniEdit, rng: np.random.Generator) -> None:
    """Store what a model that ignores the source gives for a sample, below ``floors/``."""
    file = ignored(folder, sample_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(drawn_anew(edit, rng)))


def floors(folder: Path, sample_id: str, source: Path) -> dict[str, Path]:
    """Images of trivial models for a sample by name; none in a folder without ``floors/``."""
    file = ignored(folder, sample_id)
    return {COPY: source, IGNORED: file} if file.is_file() else {}


def ignored(folder: Path, sample_id: str) -> Path:
    """Where the image for a sample lies that a model gives which ignores the source."""
    return folder / "floors" / IGNORED / f"{sample_id}.png"
