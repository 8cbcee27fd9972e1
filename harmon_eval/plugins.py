"""Where plug-ins are found, and what is said of one that is broken.

They are files of this repository, entry points of other packages and what the user includes.
``harmon_eval.registry`` opens them by name.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
import traceback
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from harmon_eval.core import UserError

TASK_GROUP, MODEL_GROUP = "harmon_eval.tasks", "harmon_eval.models"
INSTRUMENT_GROUP, MEASURE_GROUP = "harmon_eval.instruments", "harmon_eval.measures"
_included: dict[str, ModuleType] = {}  # loaded by ``include``, by plug-in name


def include(path: Path) -> list[str]:
    """Load the plug-ins in a file, or in each file and folder of a folder, and return their names.

    A file without a plug-in is skipped inside a folder, but refused if given by itself. Raises
    UserError if the path does not exist, holds no plug-in, or cannot be imported."""
    if not path.exists():
        raise UserError(f"--include {path}: no such file or folder")
    if path.is_file() or (path / "task.py").is_file():
        places = [path]
    else:
        inside = (p for p in sorted(path.iterdir()) if not p.name.startswith((".", "_")))
        places = [p for p in inside if p.suffix == ".py" or (p / "task.py").is_file()]
    found = [name for place in places if (name := _include(place))]
    if not found:
        raise UserError(
            f"--include {path} holds no plug-in: a file needs TASK, open_task, open_model or "
            "open_instrument"
        )
    return found


def _include(place: Path) -> str:
    """Load one plug-in and return its name, or an empty text if the file holds none."""
    name = place.stem if place.is_file() else place.name
    file, package = (place, None) if place.is_file() else (place / "task.py", [str(place)])
    module_name = f"harmon_eval_included_{name}"
    if package:  # register the folder as a package, so that its task.py can import its other files
        root = ModuleType(module_name)
        root.__path__ = package
        sys.modules[module_name] = root
        module_name += ".task"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"--include {place} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--include {place} cannot be imported ({why(error)})") from error
    except SystemExit as error:
        raise UserError(f"--include {place} ends the program ({error!r}) when imported") from None
    offered = ("TASK", "open_task", "open_model", "open_instrument")
    if not any(hasattr(module, what) for what in offered):
        return ""
    _included[name] = module
    return name


def included() -> list[Path]:
    """Files and folders of the plug-ins that were included, for another process to include."""
    files = [Path(str(module.__file__)).resolve() for module in _included.values()]
    return [file.parent if file.name == "task.py" else file for file in files]


def including(*offered: str) -> dict[str, ModuleType]:
    """Included plug-ins that define one of these names."""
    return {n: m for n, m in _included.items() if any(hasattr(m, what) for what in offered)}


def plugin_files(package: ModuleType) -> set[str]:
    """Names of a package's plug-in files. Files with a leading underscore are not plug-ins."""
    return {name for name in modules(*package.__path__) if not name.startswith("_")}


@lru_cache
def modules(*places: str) -> dict[str, bool]:
    """The modules in folders of ours, and whether each is a folder."""
    return {module.name: module.ispkg for module in pkgutil.iter_modules(places)}


def entry_points_of(group: str) -> dict[str, EntryPoint]:
    """The plug-ins that installed packages offer in a group, by name."""
    return _installed(tuple(sys.path))[group]


@lru_cache(maxsize=1)
def _installed(places: tuple[str, ...]) -> dict[str, dict[str, EntryPoint]]:
    """The plug-ins of the packages in ``places``, which is ``sys.path``, by group and name."""
    found, groups = entry_points(), (TASK_GROUP, MODEL_GROUP, INSTRUMENT_GROUP, MEASURE_GROUP)
    return {group: {p.name: p for p in found.select(group=group)} for group in groups}


def loaded(point: EntryPoint) -> Any:
    """What an entry point names. Raises UserError where the package is broken."""
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        package = point.dist.name if point.dist else "?"
        raise UserError(
            f"plug-in {point.name!r} of package {package!r} is broken ({why(error)}): fix or "
            "uninstall it"
        ) from None


def why(error: BaseException) -> str:
    """What went wrong when a plug-in was imported, and in which line of it."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):  # it names its own line
        return said
    places = (__file__, importlib.__file__, importlib.metadata.__file__)
    ours = {Path(file).parent for file in places}
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).parent not in ours and not frame.filename.startswith("<frozen "):
            return f"{said}, in line {frame.lineno} of {Path(frame.filename).name}"
    return said


def imported(name: str) -> ModuleType:
    """One of our own modules. Raises UserError where it needs a package that is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "harmon_eval":
            raise
        raise UserError(
            f"{name.rpartition('.')[2]!r} needs the package {error.name!r}, which is missing: "
            f"pip install {error.name}"
        ) from None
