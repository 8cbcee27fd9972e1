"""Write a task's own file, if the task can: ``convert checklist A.csv B``."""

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


def main(arguments: argparse.Namespace) -> int:
    from harmon_eval import registry
    from harmon_eval.core import UserError

    registry.check_task_name(arguments.task)
    convert = getattr(registry.task_module(arguments.task), "convert", None)
    if convert is None:
        raise UserError(f"{arguments.task} reads its published files only: nothing to convert")
    print(convert(arguments.table, arguments.target))
    return 0
