"""Write a task's own file, if the task can: ``convert checklist A.csv B``.

A task's ``convert(source, target)`` writes it; one that needs a network has a third parameter,
the instruments that were chosen (role -> name).
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="checklist or fidelity: what reads the file")
    parser.add_argument(
        "table",
        type=Path,
        metavar="FROM",
        help="a CSV or TSV file of points; for fidelity a folder of pictures",
    )
    parser.add_argument("target", type=Path, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--instrument",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="for fidelity, the network: features=efficientnet_lite0 (default: features=inception)",
    )


def main(arguments: argparse.Namespace) -> int:
    from inspect import signature

    from harmon_eval import registry
    from harmon_eval.commands.judging import named
    from harmon_eval.core import UserError

    registry.check_task_name(arguments.task)
    convert = getattr(registry.task_module(arguments.task), "convert", None)
    if convert is None:
        raise UserError(f"{arguments.task} reads its published files only: nothing to convert")
    chosen = named(arguments.instrument)
    if len(signature(convert).parameters) > 2:
        print(convert(arguments.table, arguments.target, chosen))
        return 0
    if chosen:
        raise UserError(f"{arguments.task} is written without instruments: leave --instrument out")
    print(convert(arguments.table, arguments.target))
    return 0
