"""Folders in ImageNet's layout: ``train/CLASS/IMAGE`` and ``val/CLASS/IMAGE``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import UserError

SPLITS = ("train", "val")
SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Labelled:
    """``source`` names the set of images; empty where the folder holds one only."""

    source: str
    split: str
    label: str
    file: Path


def labelled_images(folder: Path) -> Iterator[Labelled]:
    """All images of the folder, or of each of its subfolders that has a ``train/``, in order.

    Raises UserError for a split that is missing, a class of val that train does not have, and
    fewer than two classes."""
    sources = {"": folder}
    if not (folder / "train").is_dir():
        sources = {p.name: p for p in sorted(folder.glob("*")) if (p / "train").is_dir()}
    if not sources:
        raise UserError(f"{folder} has no train/: put images at train/CLASS/* and val/CLASS/*")
    for source, place in sources.items():
        found = {split: _classes(place / split) for split in SPLITS}
        if len(found["train"]) < 2:
            raise UserError(f"{place / 'train'} holds fewer than two folders with images")
        if unknown := sorted(found["val"].keys() - found["train"].keys()):
            raise UserError(f"{place / 'val'} has the class {unknown[0]!r}, train/ has not")
        for split, classes in found.items():
            for label, files in classes.items():
                yield from (Labelled(source, split, label, file) for file in files)


def _classes(split: Path) -> dict[str, list[Path]]:
    if not split.is_dir():
        raise UserError(f"{split} is missing: put images at {split.name}/CLASS/*")
    found = {
        place.name: sorted(f for f in place.iterdir() if f.suffix.lower() in SUFFIXES)
        for place in sorted(split.iterdir())
        if place.is_dir()
    }
    found = {label: files for label, files in found.items() if files}
    if not found:
        raise UserError(f"{split} holds no images: sort them into one folder a class")
    return found
