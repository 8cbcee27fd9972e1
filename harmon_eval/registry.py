"""Open plug-ins by name; where they are found: ``harmon_eval.plugins``.

Plug-ins are not registered; the file name is the plug-in's name.

- A task is a file or folder in ``tasks/`` with a ``TASK`` (a folder has it in ``task.py``), and
  with ``open_task(argument)`` if it has variants. In the group ``harmon_eval.tasks``, an entry
  point loads to a Task or to such a function.
- A model is a file in ``adapters/`` with ``open_model(argument, settings)``. In the group
  ``harmon_eval.models``, an entry point loads to such a function.
- An instrument is a file in ``instruments/ROLE/`` with ``open_instrument(argument, settings,
  find)``. In the group ``harmon_eval.instruments``, an entry point named ``ROLE.NAME`` loads to
  such a function; in the group ``harmon_eval.measures``, one named ``NAME`` is ``measure.NAME``. A
  task may also use its own function as the default for a role.

All parameters of the functions of models and instruments are optional. The annotation of
``settings`` is the dataclass that declares the settings (``harmon_eval.settings``).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from harmon_eval import settings
from harmon_eval.core import InstrumentMissing, Responder, Task, UserError
from harmon_eval.plugins import (
    INSTRUMENT_GROUP,
    MEASURE_GROUP,
    MODEL_GROUP,
    TASK_GROUP,
    entry_points_of,
    imported,
    including,
    loaded,
    modules,
    plugin_files,
    why,
)
from harmon_eval.settings import did_you_mean

BUNDLED_MODEL = "harmon-mini"  # the default


# -- tasks -------------------------------------------------------------------------------------


def task_names() -> list[str]:
    """The names of all tasks. Imports none of them."""
    included = including("TASK", "open_task")
    return sorted({*bundled_task_names(), *entry_points_of(TASK_GROUP), *included})


def bundled_task_names() -> list[str]:
    """The names of the tasks in ``tasks/``, without plug-ins."""
    from harmon_eval import tasks

    return sorted(plugin_files(tasks))


def check_task_name(name: str) -> None:
    """Raises UserError for an unknown task. Does not check what follows a colon."""
    head, known = name.partition(":")[0], task_names()
    if head not in known:
        raise UserError(f"unknown task {head!r}: {did_you_mean(head, known)}")


def task_module(name: str) -> ModuleType:
    """The module of a bundled task. It holds ``TASK``, and its docstring describes the task.

    Raises UserError if a package that it needs is missing."""
    from harmon_eval import tasks

    folder = modules(*tasks.__path__).get(name, False)
    return imported(f"harmon_eval.tasks.{name}" + (".task" if folder else ""))


def task(name: str) -> Task:
    """The task called ``name``: ``TASK``, or ``TASK:ARGUMENT`` if its file has ``open_task``.

    Raises UserError for an unknown name, a broken plug-in, or an argument that the task refuses."""
    head, colon, argument = name.partition(":")
    included = including("TASK", "open_task")
    if head in included or head in bundled_task_names():
        module = included[head] if head in included else task_module(head)
        wanted = "open_task" if colon or not hasattr(module, "TASK") else "TASK"
        found = getattr(module, wanted, None)
    else:
        check_task_name(name)
        found = loaded(entry_points_of(TASK_GROUP)[head])
    if colon and (found is None or isinstance(found, Task)):
        raise UserError(f"task {head!r} takes no argument: leave out {colon + argument!r}")
    if callable(found):
        try:
            found = found(argument)
        except UserError:
            raise
        except Exception as error:
            if head in bundled_task_names() and head not in included:
                raise
            raise UserError(f"task {name!r} cannot be opened ({why(error)})") from error
    if not isinstance(found, Task):
        raise UserError(f"task {name!r} is a {type(found).__name__}, not a harmon_eval.core.Task")
    return found


def layouts() -> list[Callable[[Path], Any]]:
    """The distinct readers of image folders in the tasks' published layouts (``Task.layout``)."""
    found: dict[Callable[[Path], Any] | None, None] = {}
    for name in task_names():
        # A broken plug-in is reported when somebody uses it.
        with suppress(UserError):
            found[task(name).layout] = None
    return [reader for reader in found if reader is not None]


# -- models ------------------------------------------------------------------------------------


def model_names() -> list[str]:
    """The bundled model and the names that may stand before a colon, but no paths or hub ids."""
    from harmon_eval import adapters

    own = {BUNDLED_MODEL, *plugin_files(adapters)}
    return sorted(own | {*entry_points_of(MODEL_GROUP), *including("open_model")})


def model(spec: str, given: Mapping[str, Any] | None = None) -> Responder:
    """The model called ``ADAPTER``, ``ADAPTER:ARGUMENT``, a file, a folder or a hub id.

    ``?key=value&...`` may follow with settings; ``given`` holds more settings. ``device`` is
    dropped for models that have no such setting, because they run no network of their own. Raises
    UserError for an unknown name, a broken plug-in, or anything the adapter refuses, such as a
    setting that it does not have, or one with two different values."""
    found = prepared(spec, given)
    responder = found.opener(**found.values)
    if not isinstance(responder, Responder):
        raise UserError(f"model {spec!r} is not a harmon_eval.core.Responder: fix its plug-in")
    return responder


def model_settings(spec: str) -> list[str]:
    """Names of a model's settings, without opening it. Raises UserError for an unknown model."""
    kind = settings.declared(_model_opener(settings.split(spec)[0])[0])
    return settings.names(kind) if kind else []


def check_model(spec: str, given: Mapping[str, Any] | None = None) -> bool:
    """Whether a model runs its own network, that is, has the setting ``device``. Opens no model.

    Raises UserError for an unknown model or setting, and what ``find_weights`` refuses."""
    found = prepared(spec, given)
    if find := found.hook("find_weights"):
        find()
    return found.network


def prepared(spec: str, given: Mapping[str, Any] | None = None) -> settings.Prepared:
    """A model by its name and settings, checked and not opened. Raises UserError as ``model``."""
    name, own = settings.split(spec)
    opener, owner, argument = _model_opener(name)
    kind = settings.declared(opener)
    beside = {k: v for k, v in (given or {}).items() if v is not None}
    chosen = settings.together(kind, own, beside, owner)
    network = kind is not None and "device" in settings.names(kind)
    if not network:
        chosen.pop("device", None)
    values = settings.arguments(opener, owner, {"argument": argument, "settings": chosen})
    return settings.Prepared(opener, values, network)


def _model_opener(name: str) -> tuple[Callable[..., Any], str, str]:
    """The function that opens a model, the adapter's name, and the argument for the function."""
    from harmon_eval import adapters

    if not name.strip():  # such as an unset variable of a shell: it is no default
        raise UserError("--model names no model: give a name or path, or leave it out")
    plugins, included = entry_points_of(MODEL_GROUP), including("open_model")
    head, _, argument = name.partition(":")
    if head in included:
        return included[head].open_model, head, argument
    if head in plugin_files(adapters):
        return imported(f"harmon_eval.adapters.{head}").open_model, head, argument
    if head in plugins:
        return loaded(plugins[head]), head, argument
    if name == BUNDLED_MODEL or "/" in name or Path(name).exists() or name.endswith(".pth"):
        return imported("harmon_eval.adapters.harmon").open_model, "harmon", name
    known = did_you_mean(name, model_names(), cutoff=0.7)
    other = "or give a folder, a .pth file, or a hub id with its owner, such as wusize/Harmon-1_5B"
    meant = imported("harmon_eval.model.families").meant_by(name)
    raise UserError(f"unknown model {name!r}: {meant or f'{known} ({other})'}")


# -- instruments -------------------------------------------------------------------------------


def instrument_names(role: str) -> list[str]:
    """Names of the instruments for a role. Imports none of our own."""
    own = _role_files(role)
    points = (name.partition(".") for name in _instrument_points())
    included = {n for n, m in including("open_instrument").items() if _serves(m, role)}
    return sorted(own | {name for head, _, name in points if head == role} | included)


def instrument_module(role: str, spec: str) -> ModuleType | None:
    """The module of one of our own instruments, which may declare ``WEIGHTS``; otherwise None."""
    name = settings.split(spec)[0].partition(":")[0]
    if name not in _role_files(role):
        return None
    return imported(f"harmon_eval.instruments.{role}.{name}")


def instrument(
    role: str,
    spec: str | Callable[..., Any],
    find: Callable[..., Path],
    given: Mapping[str, Any] | None = None,
) -> Any:
    """The instrument ``NAME``, ``NAME:ARGUMENT`` or ``NAME?key=value`` for ``role``.

    ``spec`` may also be a function that opens the instrument. ``find`` finds weight files. A role
    may have a fallback for other names (``_any.py``): for example, any model can be a judge. Raises
    UserError for an unknown name or a setting that the instrument does not have, and
    InstrumentMissing if something that it needs is missing."""
    chosen = {k: v for k, v in (given or {}).items() if v is not None}
    if callable(spec):
        opener, name, argument = spec, getattr(spec, "__name__", role), ""
    else:
        place, own = settings.split(spec)
        name, _, argument = place.partition(":")
        chosen = {**own, **chosen}
        opener, argument = _instrument_opener(role, name, argument)
    values = {"argument": argument, "settings": chosen, "find": find}
    made = opener(**settings.arguments(opener, f"{role}={name}", values))
    if not getattr(made, "identity", ""):
        raise UserError(f"{role} {name!r} has no identity: fix its plug-in")
    return made


def check_instrument(role: str, spec: str) -> None:
    """Raises UserError for an unknown instrument or setting. Opens none."""
    place, given = settings.split(spec)
    (name, _, argument), known = place.partition(":"), instrument_names(role)
    if not known:
        raise UserError(f"there is no role {role!r}: {did_you_mean(role, _roles())}")
    if name not in known and _fallback(role) is None:
        raise UserError(f"unknown {role} {name!r}: {did_you_mean(name, known)}")
    opener, rest = _instrument_opener(role, name, argument)
    settings.arguments(
        opener, f"{role}={name}", {"argument": rest, "settings": given, "find": None}
    )


def _fallback(role: str) -> str | None:
    """The module that opens instruments with other names for a role, if there is one."""
    module = f"harmon_eval.instruments.{role}._any"
    return module if _role_files(role) and importlib.util.find_spec(module) else None


def _instrument_opener(role: str, name: str, argument: str) -> tuple[Callable[..., Any], str]:
    included = {n: m for n, m in including("open_instrument").items() if _serves(m, role)}
    points = _instrument_points()
    if name in included:
        return included[name].open_instrument, argument
    if (module := instrument_module(role, name)) is not None:
        return module.open_instrument, argument
    if f"{role}.{name}" in points:
        return loaded(points[f"{role}.{name}"]), argument
    if (fallback := _fallback(role)) is not None:
        whole = f"{name}:{argument}" if argument else name
        return importlib.import_module(fallback).open_instrument, whole
    if not (known := instrument_names(role)):
        raise InstrumentMissing(f"there is no instrument for the role {role!r}")
    raise UserError(f"unknown {role} {name!r}: {did_you_mean(name, known)}")


def _instrument_points() -> dict[str, EntryPoint]:
    measures = {f"measure.{name}": point for name, point in entry_points_of(MEASURE_GROUP).items()}
    return {**measures, **entry_points_of(INSTRUMENT_GROUP)}


def _serves(module: ModuleType, role: str) -> bool:
    """Whether an included instrument is for this role. Without a ``ROLE`` it is for any role."""
    return getattr(module, "ROLE", role) == role


def _roles() -> set[str]:
    from harmon_eval import instruments

    own = {name for name, folder in modules(*instruments.__path__).items() if folder}
    return {r for r in own if _role_files(r)} | {n.partition(".")[0] for n in _instrument_points()}


def _role_files(role: str) -> set[str]:
    from harmon_eval import instruments

    if not modules(*instruments.__path__).get(role):
        return set()
    return plugin_files(importlib.import_module(f"harmon_eval.instruments.{role}"))
