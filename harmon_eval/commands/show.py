"""Print the results in a run folder as a table."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--spread",
        action="store_true",
        help="say where the spread of each headline comes from: prompts, seeds, the judge",
    )
    parser.add_argument(
        "--judged-again",
        type=Path,
        metavar="RUN",
        help="with --spread: a run that holds the same responses, judged a second time",
    )


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError if a path is not a run folder, or without --spread for a second one."""
    from harmon_eval.comparing import contrast, sources_of_spread
    from harmon_eval.core import UserError
    from harmon_eval.report import tables
    from harmon_eval.running.progress import Progress, open_console
    from harmon_eval.store.run_folder import RunFolder

    for name, task in RunFolder(arguments.run).manifest["tasks"].items():
        if task["state"] != "done":
            Progress(name).say(f"not finished ({task['state']})")
    if arguments.judged_again and not arguments.spread:
        raise UserError("--judged-again is for --spread: give both")
    console = open_console()
    tables.show(arguments.run, console)
    lines = contrast.lines(arguments.run)
    if arguments.spread:
        lines += sources_of_spread.lines(arguments.run, arguments.judged_again)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    return 0
