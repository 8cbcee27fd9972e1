"""Write a run for other tools: its results in their formats, or a task's images in the layout that
the benchmark publishes."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.core import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # As in exchange.outgoing, which is slow to import.
    forms = ("lmms-eval", "lm-eval", "inspect", "hf-eval-results", "csv")
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")
    results = parser.add_argument_group("results and samples, for another tool (docs/export.md)")
    results.add_argument(
        "--format", choices=forms, metavar="|".join(forms), help="whose files to write"
    )
    results.add_argument("--tasks", metavar="A,B", help="default: all that have a result")
    results.add_argument("--output", type=Path, metavar="DIR", help="default: RUN/exports/FORMAT")
    images = parser.add_argument_group("images, for the benchmark's own scripts (no --format)")
    images.add_argument("task", nargs="?", metavar="TASK", help="a task of the run, such as gedit")
    images.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="an empty or new folder"
    )


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError if the task has no such layout, or the run no results."""
    return _results(arguments) if arguments.format else _images(arguments)


def _results(arguments: argparse.Namespace) -> int:
    from harmon_eval.exchange.outgoing import write
    from harmon_eval.store.redact import plain

    if arguments.task:
        raise UserError("TASK and FOLDER are for images: with --format give --tasks and --output")
    tasks = arguments.tasks.split(",") if arguments.tasks else None
    written = write(arguments.run, arguments.format, arguments.output, tasks, arguments.data)
    for line in (*written.said, *map(str, written.files)):
        print(plain(line))
    return 0


def _images(arguments: argparse.Namespace) -> int:
    from harmon_eval.metrics.text import counted
    from harmon_eval.running.exporting import export

    for option in ("tasks", "output"):
        if getattr(arguments, option):
            raise UserError(f"--{option} is for results: add --format, such as --format csv")
    if not (arguments.task and arguments.folder):
        raise UserError(
            "give --format lmms-eval|lm-eval|inspect|hf-eval-results|csv for results, or TASK and "
            "FOLDER for a task's images"
        )
    count = export(arguments.run, arguments.task, arguments.folder, arguments.data)
    print(f"{counted(count, 'image')} in {arguments.folder}")
    return 0
