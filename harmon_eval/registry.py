"""Names to tasks and models: files here, entry points from other packages. No registration."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harmon_eval.core import Task, UserError

TASK_GROUP, MODEL_GROUP = "harmon_eval.tasks", "harmon_eval.models"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _plugins(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def task_names() -> list[str]:
    """Files under tasks/, and entry points of the group ``harmon_eval.tasks``."""
    from harmon_eval import tasks

    here = {module.name for module in pkgutil.iter_modules(tasks.__path__)}
    return sorted(here | set(_plugins(TASK_GROUP)))


def task(name: str) -> Task:
    """The task called ``name``. Raises UserError for an unknown name or a broken plug-in."""
    known = task_names()
    if name not in known:
        raise UserError(f"unknown task {name!r}: {did_you_mean(name, known)}")
    plugins = _plugins(TASK_GROUP)
    if name in plugins:
        found = _load(plugins[name])
    else:
        found = importlib.import_module(f"harmon_eval.tasks.{name}").TASK
    if not isinstance(found, Task):
        raise UserError(f"task {name!r} is a {type(found).__name__}, not a harmon_eval.core.Task")
    return found


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        package = point.dist.name if point.dist else "?"
        raise UserError(f"plug-in {point.name!r} of package {package!r} is broken: {error}") from None


def model_factories() -> dict[str, EntryPoint]:
    """Models of other packages: an entry point loads to a function (argument, options) -> Responder."""
    return _plugins(MODEL_GROUP)


def load_plugin(point: EntryPoint) -> Any:
    return _load(point)
