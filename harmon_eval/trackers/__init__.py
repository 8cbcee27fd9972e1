"""Experiment trackers: one file each, with a function ``start``, and one small interface.

A tracker gets settings, numbers with their steps, tables and pictures. ``results`` says what of a
run goes to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harmon_eval.core import UserError

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

NAMES = ("wandb", "mlflow", "tensorboard")
PROJECT = "harmon-eval"

__all__ = ["NAMES", "PROJECT", "Tracker", "Trackers", "open_trackers"]


class Tracker(Protocol):
    """What a tracker does. ``step`` counts training steps; a single run has step 0."""

    def settings(self, values: Mapping[str, Any]) -> None: ...

    def numbers(self, values: Mapping[str, float], step: int) -> None: ...

    def table(self, name: str, rows: pd.DataFrame, step: int) -> None: ...

    def picture(self, name: str, image: Image.Image, caption: str, step: int) -> None: ...

    def close(self) -> None: ...


class Trackers:
    """Several at once."""

    def __init__(self, each: Mapping[str, Tracker]) -> None:
        self.each = dict(each)

    def settings(self, values: Mapping[str, Any]) -> None:
        for tracker in self.each.values():
            tracker.settings(values)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        for tracker in self.each.values():
            tracker.numbers(values, step)

    def table(self, name: str, rows: pd.DataFrame, step: int) -> None:
        for tracker in self.each.values():
            tracker.table(name, rows, step)

    def picture(self, name: str, image: Image.Image, caption: str, step: int) -> None:
        for tracker in self.each.values():
            tracker.picture(name, image, caption, step)

    def close(self) -> None:
        for tracker in self.each.values():
            tracker.close()


def check(names: tuple[str, ...] | list[str]) -> None:
    """Raises UserError for an unknown tracker, or one whose package is missing. Starts none."""
    for name in names:
        if name not in NAMES:
            from harmon_eval.settings import did_you_mean

            raise UserError(f"unknown tracker {name!r}: {did_you_mean(name, NAMES)}")
        try:
            import_module(f"harmon_eval.trackers.{name}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("harmon_eval"):
                raise
            raise UserError(
                f"--tracker {name} needs the package {error.name!r}, which is missing: pip install "
                f"'harmon-eval[{name}]'"
            ) from None


def open_trackers(names: tuple[str, ...] | list[str], folder: Path, title: str) -> Trackers:
    """Start them, or go on with what they noted of ``folder`` before.

    What stays on this machine lies in ``folder``/trackers/NAME. ``title`` names the run there.
    Raises UserError."""
    names = list(dict.fromkeys(names))
    check(names)
    started: dict[str, Tracker] = {}
    for name in names:
        module = import_module(f"harmon_eval.trackers.{name}")
        place = folder / "trackers" / name
        place.mkdir(parents=True, exist_ok=True)
        started[name] = module.start(place, title)
    return Trackers(started)
