"""Mark stored responses and summarize, without the model."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import _options, _terminal, _trackers, _workers, judging
from harmon_eval.core import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--tasks",
        metavar="A,B",
        help="default: those of the run. A variant that only reads the stored marks differently, "
        "such as geneval:threshold=0.4, becomes a task of its own beside them",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")
    judging.add_arguments(parser)
    _workers.add_arguments(parser)
    _trackers.add_arguments(parser)
    _terminal.add_all_metrics(parser)
    again = parser.add_argument_group("GenEval by other thresholds")
    again.add_argument(
        "--geneval-threshold",
        metavar="SCORE",
        help="above which an object counts (published: 0.3): short for --tasks "
        "geneval:threshold=SCORE",
    )
    again.add_argument(
        "--geneval-counting-threshold",
        metavar="SCORE",
        help="the same for prompts that count (published: 0.9): geneval:counting=SCORE",
    )


def first_words(arguments: argparse.Namespace) -> str:
    return f"marking the responses in {arguments.run}"


def main(arguments: argparse.Namespace) -> int:
    from harmon_eval.report.tables import show_outcome
    from harmon_eval.running.progress import open_console
    from harmon_eval.running.remark import mark

    _trackers.check(arguments)
    tasks = arguments.tasks
    if variants := _variants(arguments):
        if tasks or judging.instruments(arguments, of_run=True):
            raise UserError(
                "GenEval's thresholds go without --tasks and --detector: they are applied to the "
                "stored detections"
            )
        tasks = variants
    outcome = mark(
        arguments.run,
        tasks,
        arguments.data,
        judging.instruments(arguments, of_run=True),
        _workers.pool(arguments),
        _options.for_manifest("mark", add_arguments, arguments),
    )
    show_outcome(outcome, open_console(), arguments.all_metrics)
    _trackers.send(arguments, outcome.folder.path)
    return outcome.code


def _variants(arguments: argparse.Namespace) -> str:
    """The run's GenEval tasks by the thresholds that were given. Raises UserError without any."""
    from harmon_eval.store.run_folder import RunFolder

    given = {
        "threshold": arguments.geneval_threshold,
        "counting": arguments.geneval_counting_threshold,
    }
    words = "+".join(f"{name}={value}" for name, value in given.items() if value is not None)
    if not words:
        return ""
    known = RunFolder(arguments.run).manifest["tasks"]
    names = [name for name in ("geneval", "geneval_fresh") if name in known]
    if not names:
        raise UserError(f"{arguments.run} holds no GenEval: its tasks are {', '.join(known)}")
    return ",".join(f"{name}:{words}" for name in names)
