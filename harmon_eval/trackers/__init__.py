"""Experiment trackers: one file each, with functions ``ready`` and ``start``, and one small
interface.

A tracker gets settings, numbers with their steps, tables and pictures. ``results`` says what of a
run goes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from harmon_eval.core import UserError
from harmon_eval.running.progress import Progress
from harmon_eval.store.redact import redacted

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

NAMES = ("wandb", "mlflow", "tensorboard")
PROJECT = "harmon-eval"

__all__ = ["NAMES", "PROJECT", "Tracker", "Trackers", "open_trackers"]


class Tracker(Protocol):
    """What a tracker does. ``step`` counts training steps; a single run has step 0.

    ``failures``: what its methods raise where it cannot be written to or reached."""

    failures: ClassVar[tuple[type[Exception], ...]]

    def settings(self, values: Mapping[str, Any]) -> None: ...

    def numbers(self, values: Mapping[str, float], step: int) -> None: ...

    def table(self, name: str, rows: pd.DataFrame, step: int) -> None: ...

    def picture(self, name: str, image: Image.Image, caption: str, step: int) -> None: ...

    def close(self) -> None: ...


class Trackers:
    """Several at once. One that fails is said and gets nothing more; whoever tracks goes on."""

    failures: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self, each: Mapping[str, Tracker]) -> None:
        self.each = dict(each)

    def settings(self, values: Mapping[str, Any]) -> None:
        self._each(lambda tracker: tracker.settings(values))

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self._each(lambda tracker: tracker.numbers(values, step))

    def table(self, name: str, rows: pd.DataFrame, step: int) -> None:
        self._each(lambda tracker: tracker.table(name, rows, step))

    def picture(self, name: str, image: Image.Image, caption: str, step: int) -> None:
        self._each(lambda tracker: tracker.picture(name, image, caption, step))

    def close(self) -> None:
        self._each(lambda tracker: tracker.close())

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.each.items()):
            try:
                tell(tracker)
            except tracker.failures as error:
                del self.each[name]
                Progress(name).warn(f"it failed and gets nothing more ({reason_of(error)})")


def reason_of(error: Exception) -> str:
    """The first line of what it says, without keys."""
    return redacted((str(error).splitlines() or [type(error).__name__])[0])[:200]


def check(names: Sequence[str]) -> None:
    """Raises UserError for an unknown tracker, one whose package is missing, and one that could not
    start: without a key, or whose server does not answer. Starts none."""
    for module in _modules(names).values():
        module.ready()


def _modules(names: Sequence[str]) -> dict[str, ModuleType]:
    """Each tracker's module, once. Raises UserError."""
    found = {}
    for name in names:
        if name not in NAMES:
            from harmon_eval.settings import did_you_mean

            raise UserError(f"unknown tracker {name!r}: {did_you_mean(name, NAMES)}")
        try:
            found[name] = import_module(f"harmon_eval.trackers.{name}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("harmon_eval"):
                raise
            raise UserError(
                f"--tracker {name} needs the package {error.name!r}, which is missing: pip install "
                f"'harmon-eval[{name}]'"
            ) from None
    return found


def open_trackers(names: Sequence[str], folder: Path, title: str) -> Trackers:
    """Start them, or go on with what they noted of ``folder`` before.

    What stays on this machine lies in ``folder``/trackers/NAME. ``title`` names the run there.
    Raises UserError."""
    started: dict[str, Tracker] = {}
    for name, module in _modules(names).items():
        place = folder / "trackers" / name
        try:
            place.mkdir(parents=True, exist_ok=True)
            started[name] = module.start(place, title)
        except OSError as error:
            raise UserError(
                f"--tracker {name} cannot write into {place} ({reason_of(error)}): make room there"
            ) from None
    return Trackers(started)
