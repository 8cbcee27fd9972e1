"""The option for experiment trackers; no command of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

NAMES = ("wandb", "mlflow", "tensorboard")  # as in trackers


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--tracker",
        action="append",
        metavar="|".join(NAMES),
        default=[],
        choices=NAMES,
        help="send metrics with intervals, a table and pictures there at the end; can be given "
        "several times (docs/trackers.md)",
    )


def check(arguments: argparse.Namespace) -> None:
    """Before anything is evaluated. Raises UserError for a tracker that could not start."""
    if arguments.tracker:
        from harmon_eval import trackers

        trackers.check(arguments.tracker)


def send(arguments: argparse.Namespace, run: Path) -> None:
    """Send a run's results to the trackers that were asked for.

    One that fails now is said, and changes nothing else: the run is stored already."""
    if not arguments.tracker:
        return
    from contextlib import closing

    from harmon_eval.core import UserError
    from harmon_eval.running.progress import Progress
    from harmon_eval.trackers import open_trackers
    from harmon_eval.trackers.results import send as send_to

    for name in dict.fromkeys(arguments.tracker):
        again = f"the run is stored; `python -m harmon_eval mark {run} --tracker {name}` sends it"
        try:
            with closing(open_trackers([name], run, run.name)) as started:
                send_to(started, run)
            if not started.each:
                Progress(name).warn(again)
        except UserError as error:
            Progress(name).warn(f"{error}. {again[0].upper()}{again[1:]}")
