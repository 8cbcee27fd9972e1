"""Write a model card with a run's results, plots and provenance; to a folder or to the hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.core import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="a new folder or that of the model, whose card keeps its other content (default: "
        "RUN/exports/card)",
    )
    parser.add_argument("--tasks", metavar="A,B", help="default: all that have a result")
    hub = parser.add_argument_group("the Hugging Face hub")
    hub.add_argument("--hub", metavar="NAME", help="model repository, such as team/model")
    hub.add_argument("--private", action="store_true", help="where the repository is new")
    hub.add_argument(
        "--pull-request", action="store_true", help="propose it, for a model of somebody else"
    )


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError for what is no run with results, or where the hub cannot be written to."""
    from harmon_eval.exchange import card, finished, hub
    from harmon_eval.store.redact import plain

    for option in ("private", "pull_request"):
        if getattr(arguments, option) and not arguments.hub:
            raise UserError(f"--{option.replace('_', '-')} is for the hub: add --hub NAME")
    if arguments.hub and arguments.output:
        raise UserError("--output and --hub are two places: give one of them")
    tasks = arguments.tasks.split(",") if arguments.tasks else None
    run = finished.read(arguments.run, tasks)
    if arguments.hub:
        print(plain(hub.push(run, arguments.hub, arguments.private, arguments.pull_request)))
        return 0
    folder = arguments.output or arguments.run / "exports" / "card"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder: choose another --output")
    for file in card.write(run, folder):
        print(plain(str(file)))
    return 0
