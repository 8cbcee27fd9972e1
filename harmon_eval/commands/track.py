"""Evaluate each new checkpoint of a training and gate it against a fixed baseline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.commands import _options, _settings, _terminal, _trackers, _workers
from harmon_eval.commands.compare import add_decision_arguments

if TYPE_CHECKING:
    from harmon_eval.comparing.history import Watch
    from harmon_eval.running.evaluate import Request
    from harmon_eval.track import Told

FIRST, PLANNED = "first", 100  # as in comparing.history, which is slow to import
LONGEST = 7 * 86_400  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="holds the checkpoints")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="run folders, history.parquet and history.png",
    )
    parser.add_argument("--tasks", default="all", metavar="A,B", help="default: all")
    parser.add_argument(
        "--suite",
        default="mini",
        metavar="mini|real|official",
        help="where prompts and measuring instruments come from (default: %(default)s)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    parser.add_argument("--limit", type=int, metavar="N", help="only N prompts of each task")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="B",
        help="requests at a time (default: %(default)s)",
    )
    drawing = parser.add_argument_group("how to draw (default: the model's own settings)")
    _settings.add_arguments(drawing, _settings.HELP)
    gate = parser.add_argument_group("gate")
    gate.add_argument(
        "--baseline",
        default=FIRST,
        metavar="NAME|RUN",
        help="checkpoint or run folder that all are compared with, or none. It stays until you "
        "name another (default: the first checkpoint)",
    )
    gate.add_argument(
        "--planned",
        type=int,
        default=PLANNED,
        metavar="N",
        help="checkpoints to compare with one baseline, at most: in 5 %% of such streams a false "
        "alarm (default: %(default)s)",
    )
    add_decision_arguments(gate)
    _workers.add_arguments(parser)
    _terminal.add_all_metrics(parser)
    parser.add_argument(
        "--settle",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="files that change within it are left (default: %(default)g)",
    )
    parser.add_argument(
        "--every", type=float, metavar="SECONDS", help="look again and again, until Ctrl-C"
    )
    _trackers.add_arguments(parser)


def first_words(arguments: argparse.Namespace) -> str:
    return f"looking for checkpoints in {arguments.folder}"


def main(arguments: argparse.Namespace) -> int:
    """Exit code of the newest checkpoint's gate. Raises UserError."""
    from contextlib import closing

    from harmon_eval.comparing import output
    from harmon_eval.comparing.history import Watch, step_of
    from harmon_eval.comparing.verdict import Comparison
    from harmon_eval.core import UserError
    from harmon_eval.report.tables import show_outcome
    from harmon_eval.running.evaluate import Outcome, Request
    from harmon_eval.running.jobs import RunSettings
    from harmon_eval.running.progress import open_console
    from harmon_eval.trackers import open_trackers
    from harmon_eval.trackers.results import send

    for name in ("settle", "every"):
        seconds = getattr(arguments, name)
        if seconds is not None and not 0 <= seconds <= LONGEST:
            raise UserError(f"--{name} {seconds:g}: give seconds, from 0 to {LONGEST:,}")
    request = Request(
        model="",
        given=_settings.given(arguments),
        tasks=arguments.tasks,
        suite=arguments.suite,
        data=arguments.data,
        settings=RunSettings(arguments.seed, arguments.limit, arguments.batch_size),
        pool=_workers.pool(arguments),
        command=_options.for_manifest("track", add_arguments, arguments),
    )
    watch = Watch(
        arguments.baseline,
        arguments.tolerance,
        arguments.effect,
        arguments.no_worse_than,
        arguments.any_settings,
        arguments.planned,
    )
    console = open_console()

    started = open_trackers(arguments.tracker, arguments.output, arguments.output.name)

    def told(outcome: Outcome, comparison: Comparison | None) -> None:
        show_outcome(outcome, console, arguments.all_metrics)
        step = step_of(outcome.folder.path.name)
        if arguments.tracker:
            send(started, outcome.folder.path, step)
        if comparison is not None:
            output.show(comparison, 0, console, arguments.all_metrics)
            started.numbers({"gate": comparison.code}, step)

    with closing(started):
        return _look(arguments, request, watch, told)


def _look(arguments: argparse.Namespace, request: Request, watch: Watch, told: Told) -> int:
    import time

    from harmon_eval.track import track

    while True:
        code = track(
            arguments.folder,
            arguments.output,
            request,
            watch,
            arguments.settle,
            told,
        )
        if not arguments.every:
            return code
        time.sleep(arguments.every)
