"""Statistics of a folder of pictures, without a model: ``convert fidelity FOLDER FILE.npz``.

The network is Inception, or another one with ``--instrument features=NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.files.cache import cache_folder
from harmon_eval.instruments import weights
from harmon_eval.metrics.frechet import FrechetStatistics
from harmon_eval.tasks.fidelity import files, references


def convert(folder: Path, target: Path, instruments: Mapping[str, str] | None = None) -> str:
    """Write the statistics of a folder of pictures; ``FOLDER?mode=MODE`` as for the task.

    ``instruments``: another network as ``features``. Raises UserError for what is no folder of
    pictures, for fewer than two, and without the network's weights."""
    given = {"features": "inception", **(instruments or {})}
    for role in given.keys() - {"features"}:
        raise UserError(f"fidelity uses no {role}: give --instrument features=NAME")
    place, chosen = files.parse(str(folder))
    if not place.is_dir() or target.suffix != ".npz":
        raise UserError("give a folder of pictures and a file to write: FOLDER FILE.npz")
    net = registry.instrument("features", given["features"], _in_cache)
    protocol = references.protocol_of(place, chosen.mode, net)
    own = FrechetStatistics.of(references.features_of(files.found(place), protocol, net))
    setting = f"{protocol},{net.name}"
    content = files.statistics_file(own.mean, own.covariance, own.count, setting)
    target.write_bytes(content)
    return f"{target}: {own.count} pictures, {setting}"


def _in_cache(wanted: weights.Weights) -> Path:
    return weights.find(wanted, [cache_folder() / weights.FOLDER, cache_folder()])
