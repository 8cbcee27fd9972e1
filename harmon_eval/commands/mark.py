"""Mark stored responses and summarize, without the model."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import judging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--tasks", metavar="A,B", help="default: those of the run")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")
    judging.add_arguments(parser)

    parser.add_argument("--detector", choices=("mask2former", "mmdet", "hf"),
                        help="GenEval's detector; default: that of the run")  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    from harmon_eval.evaluate import mark

    judge = judging.judge_options(arguments) if arguments.judge_model else None
    return mark(
        arguments.run,
        arguments.tasks,
        arguments.data,
        arguments.detector,
        judge,
        arguments.budget,
    )
