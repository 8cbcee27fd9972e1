"""Mark stored responses and summarize, without the model."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import judging
from harmon_eval.core import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--tasks", metavar="A,B", help="default: those of the run")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")
    judging.add_arguments(parser)

    parser.add_argument(
        "--detector",
        choices=("mask2former", "mmdet", "hf"),
        help="GenEval's detector; default: that of the run",
    )
    again = parser.add_argument_group(
        "GenEval by other thresholds, from the stored detections (no detector is loaded); the "
        "result is a task of its own beside the official one"
    )
    again.add_argument(
        "--geneval-threshold",
        type=float,
        metavar="SCORE",
        help="above which an object counts (published: 0.3)",
    )
    again.add_argument(
        "--geneval-counting-threshold",
        type=float,
        metavar="SCORE",
        help="the same for prompts that count (published: 0.9)",
    )


def main(arguments: argparse.Namespace) -> int:
    from harmon_eval.running.evaluate import mark, mark_by_thresholds

    thresholds = arguments.geneval_threshold, arguments.geneval_counting_threshold
    if thresholds != (None, None):
        if arguments.tasks or arguments.detector:
            raise UserError("other GenEval thresholds go without --tasks and --detector")
        return mark_by_thresholds(arguments.run, arguments.data, *thresholds)
    judge = judging.judge_options(arguments) if arguments.judge_model else None
    return mark(
        arguments.run,
        arguments.tasks,
        arguments.data,
        arguments.detector,
        judge,
        arguments.budget,
    )
