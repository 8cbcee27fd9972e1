"""The set that images are compared with: features of a folder, computed once, or statistics.

They lie in the cache folder under a key of everything that they depend on. Rows hold that key, so
that results can be added up again, and runs compared, without the folder or the network.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from harmon_eval.core import Unscorable, UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.metrics.fid_images import FeatureNet, feature_batches, read_image
from harmon_eval.metrics.frechet import FrechetStatistics
from harmon_eval.metrics.text import counted
from harmon_eval.store.digests import sha256_of
from harmon_eval.tasks.fidelity import files

FEATURES, STATISTICS = "features.npy", "statistics.npz"
SHOWN = 3  # damaged pictures that are named

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Reference:
    """``features`` (m, d) float32 is None, and ``count`` may be, for a file of statistics."""

    statistics: FrechetStatistics
    features: np.ndarray | None
    count: int | None


def protocol_of(place: Path, chosen: str | None, net: FeatureNet) -> str:
    """How pictures are prepared: as the network needs it, as chosen, or as the statistics say.

    Raises UserError where these disagree."""
    own = getattr(net, "protocol", "")
    if own and chosen:
        raise UserError(f"{net.name} prepares pictures in its own way: leave out mode={chosen}")
    if place.is_dir():
        return own or chosen or "clean"
    told = files.read_statistics(place)
    if told.network and told.network != net.name:
        raise UserError(
            f"{place} has statistics of {told.network}, not of {net.name}: give --instrument "
            f"features={told.network.replace('-', '_')}, or the one that has this network"
        )
    return own or chosen or told.mode


def prepared(place: Path, content: str, protocol: str, net: FeatureNet) -> str:
    """The key of the reference in the cache, where it now is. ``content``: ``files.digest``.

    Raises UserError for pictures that cannot be read, all of them counted and some named."""
    key = sha256_of(f"{content} {protocol} {net.identity}")[:32]
    _prepared(folder(key), place, protocol, net)
    return key


@lru_cache(maxsize=4)
def _prepared(folder: Path, place: Path, protocol: str, net: FeatureNet) -> None:
    made_once(folder, partial(_write, place=place, protocol=protocol, net=net))


def folder(key: str) -> Path:
    """Where the reference with this key lies in the cache."""
    return cache_folder() / "fidelity" / key


def _write(folder: Path, place: Path, protocol: str, net: FeatureNet) -> None:
    if place.is_file():
        told = files.read_statistics(place)
        content = files.statistics_file(told.mean, told.covariance, told.count, protocol)
        (folder / STATISTICS).write_bytes(content)
        return
    np.save(folder / FEATURES, features_of(files.found(place), protocol, net))


def features_of(pictures: Sequence[Path], protocol: str, net: FeatureNet) -> np.ndarray:
    """(n, d) float32. Raises UserError that names pictures which cannot be read."""
    logger.warning("features of %s are computed, once", counted(len(pictures), "reference picture"))
    try:
        return np.concatenate(list(feature_batches(pictures, net, protocol)))
    except Unscorable:
        broken = [reason for file in pictures if (reason := _flaw(file))]
        if not broken:
            raise
        more = f" and {len(broken) - SHOWN} others" if len(broken) > SHOWN else ""
        raise UserError(
            f"{len(broken)} of {len(pictures)} reference pictures are damaged: "
            f"{'; '.join(broken[:SHOWN])}{more}; mend or remove them"
        ) from None


def _flaw(file: Path) -> str:
    try:
        read_image(file)
    except Unscorable as error:
        return str(error)
    return ""


@lru_cache(maxsize=2)
def load(key: str) -> Reference:
    """The reference behind the rows of a run. Raises UserError where the cache has lost it."""
    place = folder(key)
    try:
        if (place / FEATURES).is_file():
            features = np.load(place / FEATURES, allow_pickle=False)
            return Reference(FrechetStatistics.of(features), features, len(features))
        told = files.read_statistics(place / STATISTICS)
    except (OSError, ValueError, UserError):
        raise UserError(
            f"the reference of this run is no longer in {place.parent}: delete the task's "
            "rows.parquet in the run folder, and `python -m harmon_eval mark RUN` makes it again"
        ) from None
    given = FrechetStatistics.given(told.mean, told.covariance, told.count)
    return Reference(given, None, told.count)


def check_width(key: str, place: Path, width: int, network: str) -> None:
    """Raises UserError where the reference has another number of features."""
    if (own := load(key).statistics.width) != width:
        raise UserError(f"{place} has {own} features, but {network} gives {width}")
