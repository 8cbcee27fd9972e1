"""Files of weights that instruments need: which file, where to look for it, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import InstrumentMissing

FOLDER = "weights"


@dataclass(frozen=True)
class Weights:
    """``names``: file names that are accepted, the best first. ``source`` is for people; a URL can
    be fetched too. ``sha256``: as much of the digest as its publisher states, from the left."""

    what: str
    names: tuple[str, ...]
    source: str
    sha256: str = ""


def find(weights: Weights, folders: Sequence[Path], option: str = "") -> Path:
    """The file, in the first of the folders that has it.

    Raises InstrumentMissing: which file goes where, ``option`` saying how else to give it."""
    for folder in folders:
        for name in weights.names:
            if (folder / name).is_file():
                return folder / name
    first = weights.names[0]
    raise InstrumentMissing(
        f"{weights.what} needs its weights: put {first} (from {weights.source}) at "
        f"{folders[0] / first}{option}; `python -m harmon_eval mark RUN` goes on from responses "
        "that are stored"
    )
