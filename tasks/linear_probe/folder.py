"""Labelled images: ImageNet's folders or tables of hub datasets, read in place without copying.

::

    train/CLASS/IMAGE, val/CLASS/IMAGE           ImageNet's layout
    train-*.parquet, validation-*.parquet        the hub's layout, also below data/
    train/*.arrow, validation/*.arrow            save_to_disk of the datasets library

The val split is the hub's ``validation``, or ``val`` if there is none, or else ``test``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.found import is_picture
from harmon_eval.instruments.probing.labelled import Labelled

SPLITS = ("train", "val")
NAMES = {"train": ("train",), "val": ("validation", "val", "test")}


def labelled_images(folder: Path) -> Iterator[tuple[Labelled, Path]]:
    """All images with their files, from the folder or from each subfolder that holds such a set.

    Folders give images sorted by class; tables give rows in their own order. Raises UserError if a
    split is missing, if val has a class that train does not have, or if there are fewer than two
    classes."""
    sources = {"": folder} if _is_set(folder) else {}
    if not sources:
        sources = {p.name: p for p in sorted(folder.glob("*")) if p.is_dir() and _is_set(p)}
    if not sources:
        raise UserError(
            f"{folder} has no train/: put images at train/CLASS/* and val/CLASS/*, or "
            "train-*.parquet and validation-*.parquet there"
        )
    for source, place in sources.items():
        found = {split: list(_images(place, split)) for split in SPLITS}
        known = {split: {label for label, _, _ in own} for split, own in found.items()}
        if len(known["train"]) < 2:
            raise UserError(f"{place / 'train'} holds fewer than two folders with images")
        if unknown := sorted(known["val"] - known["train"]):
            raise UserError(f"{place / 'val'} has the class {unknown[0]!r}, but train/ does not")
        for split, own in found.items():
            yield from ((Labelled(source, split, label, name), file) for label, name, file in own)


def _is_set(folder: Path) -> bool:
    return (folder / "train").is_dir() or bool(_tables(folder, "train"))


def _tables(folder: Path, split: str) -> list[Path]:
    """The tables under the first of the split's possible names that has any."""
    for name in NAMES[split]:
        patterns = [
            f"{name}-*.parquet",
            f"{name}.parquet",
            f"data/{name}-*.parquet",
            f"{name}/*.parquet",
            f"{name}/*.arrow",
        ]
        if files := sorted(file for pattern in patterns for file in folder.glob(pattern)):
            return files
    return []


def _images(folder: Path, split: str) -> Iterator[tuple[str, str, Path]]:
    """(label, name, file) of each image of a split."""
    if tables := _tables(folder, split):
        from harmon_eval.files.image_tables import labels_of

        for file in tables:
            for path, label in labels_of(file):
                yield label, f"{file.stem}-{int(path.name):06d}", path
        return
    place = folder / split
    if not place.is_dir():
        raise UserError(f"{place} is missing: put images at {split}/CLASS/*")
    files = [
        file
        for label in sorted(place.iterdir())
        if label.is_dir()
        for file in sorted(label.iterdir())
        if is_picture(file)
    ]
    if not files:
        raise UserError(f"{place} holds no images: sort them into one folder per class")
    yield from ((file.parent.name, file.name, file) for file in files)
