"""Which formats of other tools a run can be written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from harmon_eval.core import UserError
from harmon_eval.exchange import finished

# Format -> the module here that writes it.
FORMATS = {
    "lmms-eval": "lmms_eval",
    "lm-eval": "lm_eval",
    "inspect": "inspect_logs",
    "hf-eval-results": "hub_results",
    "csv": "spreadsheets",
}


@dataclass(frozen=True)
class Written:
    """The files, and what of the run is not in them."""

    files: Sequence[Path]
    said: Sequence[str]


def write(
    run: Path,
    form: str,
    to: Path | None = None,
    tasks: Sequence[str] | None = None,
    data: Path | None = None,
) -> Written:
    """Write a run in a format of ``FORMATS``; by default below ``RUN/exports/FORMAT``.

    The same run gives the same files, which replace those of an earlier call. Raises UserError."""
    found = finished.read(run, tasks, data)
    folder = to or run / "exports" / form
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder: choose another --output")
    files = import_module(f"harmon_eval.exchange.{FORMATS[form]}").write(found, folder)
    said = [f"{task.name}: {task.remark}" for task in found.tasks if task.remark]
    states = found.manifest["tasks"]
    have = {task.name for task in found.tasks}
    if not tasks:
        said += [f"{n}: has no result ({e['state']})" for n, e in states.items() if n not in have]
    return Written(files, said)
