"""Suites: where a task's data and its default instruments come from.

``mini`` is a small world of coloured shapes that is made here, with rule-based instruments: it
needs no network. ``official`` has real prompts, real reference data and published instruments.
``real`` has a little of both: real pictures, texts and networks that packages of the extra ``real``
carry, so it needs no network either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.settings import did_you_mean
from harmon_eval.suites.suite import Suite

# Default instruments by role, where they differ from the tasks' own, which are the published ones.
SUITES: dict[str, dict[str, str]] = {
    "mini": {
        "detector": "shapes",
        "color": "palette",
        "features": "mini",
        "clip": "mini",
        "dino": "mini",
        "diversity": "mini",
        "lpips": "mini",
        "measure": "mini",
        "structure": "mini",
        "judge": "rules",
        "probe": "probes",
        "reader": "mini",
    },
    "official": {},
    "real": {"features": "efficientnet_lite0"},
}
NAMES = tuple(SUITES)

__all__ = ["NAMES", "SUITES", "Suite", "load"]


def load(
    name: str,
    data: Path | None = None,
    instruments: Mapping[str, str] | None = None,
    fetching: bool = True,
) -> Suite:
    """The suite ``name``. ``data``: a folder with files to use instead; ``instruments``: role ->
    name and settings of the instrument to use instead. ``fetching``: see ``core.Data``.

    Raises UserError for an unknown suite or instrument, or a folder that is not there."""
    if name not in SUITES:
        raise UserError(f"unknown suite {name!r}: {did_you_mean(name, NAMES)}")
    if data is not None and not data.is_dir():
        raise UserError(f"--data {data}: no such folder")
    for role, spec in (instruments or {}).items():
        registry.check_instrument(role, spec)
    return Suite(name, data, SUITES[name], instruments or {}, fetching)
