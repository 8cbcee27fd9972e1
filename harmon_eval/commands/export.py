"""Write a run's images in the layout that their benchmark publishes."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("task", metavar="TASK", help="a task of the run, such as gedit")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an empty or new folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError if the task has no such layout."""
    from harmon_eval.running.exporting import export

    count = export(arguments.run, arguments.task, arguments.folder, arguments.data)
    print(f"{count} images in {arguments.folder}")
    return 0
