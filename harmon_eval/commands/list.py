"""List the available tasks, models and suites."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a package until something of it is used, and then has all that is in it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = find_spec(name)  # a plug-in's packages may look for it

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        found = importlib.import_module(self.__name__)
        vars(self).update(vars(found))
        return getattr(found, name)


@contextmanager
def _waiting_for(package: str) -> Iterator[None]:
    """Within, what imports ``package`` does not load it before it uses it."""
    later = _Later(package)
    sys.modules.setdefault(package, later)
    try:
        yield
    finally:
        if sys.modules.get(package) is later:
            del sys.modules[package]


def _import_ours() -> None:
    """Import the tasks of this repository, most of which need NumPy to draw and to mark and none
    to be listed. Plug-ins of others are not ours to experiment with, and get the package itself."""
    from harmon_eval import registry
    from harmon_eval.core import UserError

    with _waiting_for("numpy"):
        for name in registry.bundled_task_names():
            with suppress(UserError):  # said when it is listed
                registry.task_module(name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pages",
        type=Path,
        metavar="FILE",
        help="write the tasks' descriptions as Markdown (this makes docs/tasks.md)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Print all tasks. A broken plug-in is reported, but the others are still listed."""
    from harmon_eval import registry
    from harmon_eval.core import UserError
    from harmon_eval.report.listing import print_rows
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.redact import printable

    if arguments.pages:
        from harmon_eval.report.task_pages import pages
        from harmon_eval.store.durable import write_whole

        write_whole(arguments.pages, pages())
        return 0
    console = open_console()
    _import_ours()
    rows, broken = [], []
    for name in registry.task_names():
        try:
            task = registry.task(name)
        except UserError as error:
            broken.append(str(error))
            continue
        better = "higher" if task.higher_is_better else "lower"
        rows.append(
            {
                "task": name,
                "headline": f"{task.headline} ({better} is better)",
                "size": task.about.size,
                "paper": task.about.paper,
                "instruments": ", ".join(task.instruments),
                "version": task.version,
            }
        )
    print_rows(rows, "tasks", console)
    models = ", ".join(registry.model_names())
    console.print(
        f"models: {printable(models)}; a folder, a .pth file, a hub id such as "
        "wusize/Harmon-1_5B, folder:IMAGES",
        soft_wrap=True,
        highlight=False,
    )
    console.print(
        "suites: mini (bundled: no network, no GPU), real (pictures and networks of the extra "
        "real: no network either), official (real prompts and instruments; --data DIR if you have "
        "the data)",
        soft_wrap=True,
    )
    for line in broken:
        console.print(f"[red]{printable(line)}[/red]", soft_wrap=True)
    return 0
