"""Folders of pictures and files of statistics, as clean-fid, pytorch-fid, ADM and torch-fidelity
have them."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, is_zipfile

import numpy as np

from harmon_eval import settings
from harmon_eval.core import Drawn, UserError
from harmon_eval.files.found import pictures, say_others
from harmon_eval.store.digests import sha256_of

Mode = Literal["clean", "legacy_pytorch", "legacy_tensorflow", "gigagan256"]
STATISTICS = (".npz", ".pt")
TOLERANCE = 1e-5  # of the total variance, for rounding: some files are in float32
WIDEST = 16_384  # features: a larger covariance is no statistics file
_MODE_IN_NAME = re.compile(r"_(clean|legacy_pytorch|legacy_tensorflow)(?=[_.])")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """``mode``: how pictures are resized, by clean-fid's names, or ``gigagan256``. By default what
    a statistics file says of itself, and ``clean``."""

    mode: Mode | None = None


def parse(argument: str) -> tuple[Path, Settings]:
    """``PLACE`` or ``PLACE?mode=MODE``. Raises UserError for a place that is not there."""
    text, given = settings.split(argument)
    place = Path(text).expanduser()
    if not place.is_dir() and not (place.is_file() and place.suffix in STATISTICS):
        lacks = "" if place.exists() else "no such file or folder; "
        raise UserError(
            f"fidelity:{text}: {lacks}give a folder of pictures, or a file of statistics "
            f"({' or '.join(STATISTICS)})"
        )
    return place, settings.read(Settings, given, "fidelity")


# -- folders -------------------------------------------------------------------------------------


def found(folder: Path) -> list[Path]:
    """The pictures below a folder. Raises UserError for none; says which files are no pictures."""
    files = pictures(folder)
    if not files:
        raise UserError(f"{folder} holds no pictures")
    say_others(folder)
    return files


def numbered(number: int) -> str:
    """The id of a picture: two folders compare whatever their files are called."""
    return f"{number:06d}"


def read_images(folder: Path) -> list[Drawn]:
    """All pictures below a folder, numbered in the order of their names."""
    return [Drawn(file, sample=numbered(n)) for n, file in enumerate(pictures(folder))]


def digest(place: Path) -> str:
    """Of the bytes of all pictures in order, or of a file of statistics."""
    if place.is_file():
        return sha256_of(place)
    return sha256_of(" ".join(sha256_of(file) for file in found(place)))


# -- statistics ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statistics:
    """Mean (d,) and covariance (d, d) of features; of how many, which mode and network, if the
    file says it. ``guessed``: the mode is only likely."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int | None
    mode: str
    network: str
    guessed: bool = False


def read_statistics(file: Path) -> Statistics:
    """A ``.npz`` with ``mu`` and ``sigma``, or a ``.pt`` of torch-fidelity's cache.

    Raises UserError for another file."""
    return _read_once(file, sha256_of(file))


@lru_cache(maxsize=2)
def _read_once(file: Path, content_sha256: str) -> Statistics:
    try:
        content = _of_torch(file) if file.suffix == ".pt" else _of_numpy(file)
        mean, covariance = (np.asarray(content[name], np.float64) for name in ("mu", "sigma"))
        setting = str(content["setting"]) if "setting" in content else ""
        count = int(content["count"]) if "count" in content else None
    except (OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise UserError(
            f"{file} is no file of statistics ({error}): it needs mu and sigma, as clean-fid, "
            "pytorch-fid and ADM write them"
        ) from None
    if mean.ndim != 1 or covariance.shape != (len(mean),) * 2 or len(mean) > WIDEST:
        raise UserError(f"{file}: mu {mean.shape} and sigma {covariance.shape} do not fit")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{file} has values that are not finite")
    if flaw := _no_covariance(covariance):
        raise UserError(f"{file}: sigma is no covariance matrix: {flaw}; write the file again")
    mode, _, network = setting.partition(",")
    if mode := mode or _mode(file, content):
        return Statistics(mean, covariance, count, mode, network)
    logger.warning(
        "%s does not say how its pictures were resized: taken for pytorch-fid's "
        "(legacy_pytorch); ?mode=clean behind its name says otherwise",
        file,
    )
    return Statistics(mean, covariance, count, "legacy_pytorch", network, guessed=True)


def _no_covariance(matrix: np.ndarray) -> str:
    """Why a matrix cannot be a covariance; empty where it can be, up to rounding."""
    if np.abs(matrix - matrix.T).max(initial=0.0) > TOLERANCE * np.abs(matrix).max(initial=0.0):
        return "it is not symmetric"
    if matrix.diagonal().min(initial=0.0) < 0:
        return "it has a negative variance"
    rounding = TOLERANCE * float(matrix.trace())
    try:
        np.linalg.cholesky(matrix + (rounding or 1.0) * np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        return "it has negative eigenvalues"
    return ""


def check(place: Path, chosen: Mode | None) -> None:
    """Look into a file of statistics before anything is drawn.

    Raises UserError for a file that is none, or whose pictures were resized in another way than
    the ``chosen`` one: that distance would be one of resizing too."""
    if place.is_dir():
        return
    told = read_statistics(place)
    if chosen and chosen != told.mode and not told.guessed:
        raise UserError(
            f"{place} has statistics of pictures resized as {told.mode}: leave out mode={chosen}, "
            "or give a file or folder for it"
        )


def _of_numpy(file: Path) -> dict[str, Any]:
    if not is_zipfile(file):  # numpy would take it for a pickle, and say how to open that
        raise ValueError("not a .npz archive")
    with np.load(file, allow_pickle=False) as opened:
        names = opened.files
        small = {n: opened[n] for n in ("mu", "sigma", "count", "setting") if n in names}
    return {**small, **{name: None for name in names if name not in small}}


def _of_torch(file: Path) -> dict[str, Any]:
    """Tensors and arrays alone: nothing else in the file is opened."""
    import pickle

    import torch

    rebuild: Any = np.zeros(1).__reduce__()[0]
    kinds = (type(np.dtype("f4")), type(np.dtype("f8")))
    arrays: list[Any] = [np.ndarray, np.dtype, *kinds, rebuild]
    try:
        with torch.serialization.safe_globals(arrays):
            content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(str(error).splitlines()[0]) from None
    return content


def _mode(file: Path, content: Mapping[str, Any]) -> str:
    """How the pictures behind a file were resized; "" where nothing tells."""
    if named := _MODE_IN_NAME.search(file.name):
        return named[1]
    if file.suffix == ".pt" or "mu_s" in content or "arr_0" in content:
        return "legacy_tensorflow"  # torch-fidelity, and ADM's reference batches
    return ""


def statistics_file(
    mean: np.ndarray, covariance: np.ndarray, count: int | None, setting: str
) -> bytes:
    """A ``.npz`` with ``mu`` and ``sigma``, which clean-fid and pytorch-fid read too."""
    content = {"mu": mean, "sigma": covariance, "setting": np.array(setting)}
    if count is not None:
        content["count"] = np.array(count)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **content)
    return buffer.getvalue()
