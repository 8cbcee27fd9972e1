"""Files of weights that instruments need: which file, where to look for it, where it comes from."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.store.digests import sha256_of

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


def read_program(path: Path, sha256: str, what: str, hint: str = "") -> io.BytesIO:
    """The content of a file that runs as a program when it is opened, such as TorchScript.

    It is read once and checked before anything opens it: whoever else may write into its folder
    cannot change it in between. Raises UserError for a file with another digest."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): get it again") from None
    if (found := sha256_of(content)) != sha256:
        raise UserError(
            f"{path} is not {what} (SHA-256 differs: {found}, expected {sha256}); such a file is a "
            f"program and is not opened: get it again{hint}"
        )
    return io.BytesIO(content)


@contextmanager
def torchscript() -> Iterator[None]:
    """Within it, PyTorch does not say that TorchScript is deprecated: nothing else can read the
    published files."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        yield
