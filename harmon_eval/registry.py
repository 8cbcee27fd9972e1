"""Names to tasks and models: files here, entry points from other packages. No registration.

A task is a file in ``tasks/`` with a ``TASK`` (and ``open_task(argument)``, if it has variants), or
an entry point of the group ``harmon_eval.tasks`` that loads to either. A model is a file in
``adapters/`` with ``open_model(argument, options)``, or an entry point of the group
``harmon_eval.models`` that loads to such a function.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from harmon_eval.core import ModelFactory, ModelOptions, Responder, Task, UserError

TASK_GROUP, MODEL_GROUP = "harmon_eval.tasks", "harmon_eval.models"
BUNDLED_MODEL = "harmon-mini"


def variant(argument: str, **choices: Sequence[str]) -> dict[str, str]:
    """What ``TASK:WORD+WORD`` chooses: one word of each list of choices, its first by default.

    Raises UserError for a word that is no choice, and for two of one list."""
    chosen: dict[str, str] = {}
    for word in filter(None, argument.split("+")):
        name = next((name for name, words in choices.items() if word in words), None)
        if name is None:
            known = [word for words in choices.values() for word in words]
            raise UserError(f"unknown variant {word!r}: {did_you_mean(word, known)}")
        if chosen.setdefault(name, word) != word:
            raise UserError(f"variants {chosen[name]!r} and {word!r} exclude each other: name one")
    return {name: chosen.get(name, words[0]) for name, words in choices.items()}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _task_module(name: str) -> str:
    from harmon_eval import tasks

    folder = any(m.ispkg for m in pkgutil.iter_modules(tasks.__path__) if m.name == name)
    return f"harmon_eval.tasks.{name}" + (".task" if folder else "")


def _files(package: ModuleType) -> set[str]:
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


def _plugins(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        package = point.dist.name if point.dist else "?"
        raise UserError(
            f"plug-in {point.name!r} of package {package!r} is broken "
            f"({type(error).__name__}: {error}): mend or uninstall it"
        ) from None


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "harmon_eval":
            raise
        raise UserError(
            f"{name.rpartition('.')[2]!r} needs the package {error.name!r}, which is missing: "
            f"pip install {error.name}"
        ) from None


def task_names() -> list[str]:
    """All tasks there are; none of them is imported."""
    from harmon_eval import tasks

    return sorted(_files(tasks) | set(_plugins(TASK_GROUP)))


def bundled_task_names() -> list[str]:
    """Those of the files in ``tasks/``, without plug-ins."""
    from harmon_eval import tasks

    return sorted(_files(tasks))


def check_task_name(name: str) -> None:
    """Raises UserError for an unknown task; what follows a colon is the task's own affair."""
    head, known = name.partition(":")[0], task_names()
    if head not in known:
        raise UserError(f"unknown task {head!r}: {did_you_mean(head, known)}")


def task(name: str) -> Task:
    """The task called ``name``: ``TASK``, or ``TASK:ARGUMENT`` where its file has ``open_task``.

    An entry point loads to a Task, or to such a function. Raises UserError for an unknown name,
    a broken plug-in, or an argument that the task refuses."""
    from harmon_eval import tasks

    check_task_name(name)
    head, colon, argument = name.partition(":")
    if head in _files(tasks):
        found = getattr(_import(_task_module(head)), "open_task" if colon else "TASK", None)
        if colon and found is None:
            raise UserError(f"task {head!r} takes no argument: leave out {colon + argument!r}")
    else:
        found = _load(_plugins(TASK_GROUP)[head])
        if colon and isinstance(found, Task):
            raise UserError(f"task {head!r} takes no argument: leave out {colon + argument!r}")
    if callable(found):
        found = found(argument)
    if not isinstance(found, Task):
        raise UserError(f"task {name!r} is a {type(found).__name__}, not a harmon_eval.core.Task")
    return found


def model_names() -> list[str]:
    """The bundled model, and what may stand before a colon; paths and hub ids come on top."""
    from harmon_eval import adapters

    return sorted({BUNDLED_MODEL} | _files(adapters) | set(_plugins(MODEL_GROUP)))


def model(name: str, options: ModelOptions) -> Responder:
    """The model called ``name``: ``ADAPTER``, ``ADAPTER:ARGUMENT``, a file, a folder or a hub id.

    Raises UserError for an unknown name, a broken plug-in, or whatever the adapter refuses."""
    from harmon_eval import adapters

    plugins = _plugins(MODEL_GROUP)
    head, _, argument = name.partition(":")
    if head in _files(adapters):
        factory = _adapter(head)
    elif head in plugins:
        factory = _load(plugins[head])
    elif name == BUNDLED_MODEL or "/" in name or Path(name).exists() or name.endswith(".pth"):
        factory, argument = _adapter("harmon"), name
    else:
        raise UserError(
            f"unknown model {name!r}: {did_you_mean(name, model_names())} "
            "(or give a folder, a .pth file, or a hub id with a slash)"
        )
    responder = factory(argument, options)
    if not isinstance(responder, Responder):
        raise UserError(f"model {name!r} is no harmon_eval.core.Responder: mend its plug-in")
    return responder


def _adapter(name: str) -> ModelFactory:
    opened: ModelFactory = _import(f"harmon_eval.adapters.{name}").open_model
    return opened
