"""Print the results in a run folder as a table."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError if the path is not a run folder."""
    from harmon_eval.report import tables
    from harmon_eval.running.progress import Progress, open_console
    from harmon_eval.store.run_folder import RunFolder

    for name, task in RunFolder(arguments.run).manifest["tasks"].items():
        if task["state"] != "done":
            Progress(name).say(f"not finished ({task['state']})")
    tables.show(arguments.run, open_console())
    return 0
