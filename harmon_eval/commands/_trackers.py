"""The option for experiment trackers; no command of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

NAMES = ("wandb", "mlflow", "tensorboard")  # as in trackers


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--tracker",
        action="append",
        default=[],
        choices=NAMES,
        help="send metrics with intervals, a table and pictures there at the end; can be given "
        "several times (docs/trackers.md)",
    )


def check(arguments: argparse.Namespace) -> None:
    """Before anything is evaluated. Raises UserError for a tracker whose package is missing."""
    if arguments.tracker:
        from harmon_eval import trackers

        trackers.check(arguments.tracker)


def send(arguments: argparse.Namespace, run: Path) -> None:
    """Send a run's results to the trackers that were asked for. Raises UserError."""
    if not arguments.tracker:
        return
    from harmon_eval.trackers import open_trackers
    from harmon_eval.trackers.results import send as send_to

    started = open_trackers(arguments.tracker, run, run.name)
    send_to(started, run)
    started.close()
