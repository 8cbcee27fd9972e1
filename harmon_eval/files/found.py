"""Picture files in folders that people name: suffixes in any case, numbers in their order."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.files.images import SUFFIXES

logger = logging.getLogger(__name__)
# Beside pictures these are lists, captions and notes.
_TEXTS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".parquet", ".html", "")


def is_picture(file: Path) -> bool:
    """By its name; hidden files, such as those macOS leaves in archives, are none."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def pictures(folder: Path, deep: bool = True) -> list[Path]:
    """Picture files below ``folder`` (or in it alone), in natural order."""
    return in_order(filter(is_picture, folder.rglob("*") if deep else folder.iterdir()))


def say_others(folder: Path) -> None:
    """Log how many files below ``folder`` may be meant as pictures and are none that is read."""
    found = Counter(
        file.suffix.lower()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith(".") and not is_picture(file)
    )
    if kinds := {suffix: n for suffix, n in found.items() if suffix not in _TEXTS}:
        said = ", ".join(f"{n} {suffix}" for suffix, n in sorted(kinds.items()))
        logger.warning("%s: left out as no pictures that are read: %s", folder, said)


def in_order(files: Iterable[Path]) -> list[Path]:
    """Sorted by path, with ``2.png`` before ``10.png``."""
    found = list(files)
    if len({len(file.name) for file in found}) < 2:  # such as hashes, whose digits are no numbers
        return sorted(found)
    return sorted(found, key=_natural)


def _natural(file: Path) -> tuple[tuple[int, int, str], ...]:
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", str(file))
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def find_suffix(stem: Path) -> Path:
    """The picture ``stem`` with any suffix in any case, or ``stem`` itself where there is none.

    Raises UserError where there are two."""
    if is_picture(stem):
        return stem
    names = [f"{stem.name}{s}" for suffix in SUFFIXES for s in (suffix, suffix.upper())]
    found = [file for name in names if (file := stem.with_name(name)).is_file()]
    check_one(found)
    return found[0] if found else stem


def check_one(files: Sequence[Path]) -> None:
    """Raises UserError that names two files which are the same picture twice."""
    for file in files[1:]:
        # A file system that ignores case shows one file under two names.
        if file != files[0] and not (file.exists() and file.samefile(files[0])):
            raise UserError(f"{files[0]} and {file.name} are one picture twice: remove one")


def whole_set(folder: Path) -> Path | None:
    """The folder ``fullset``: this one, below it, or below the one folder (a model's) that has it.

    None where there is none. Raises UserError where there are several models."""
    if folder.name == "fullset":
        return folder
    places = [folder / "fullset"] if (folder / "fullset").is_dir() else []
    places = places or sorted(place for place in folder.glob("*/fullset") if place.is_dir())
    if len(places) > 1:
        raise UserError(
            f"{folder} holds the results of several models: give the folder of one, such as "
            f"{places[0].parent}"
        )
    return places[0] if places else None
