"""Print the results in a run folder: headlines, or every metric of tasks."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import _terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--tasks",
        metavar="A,B",
        help="every metric of these tasks (default: headlines, but for a run of one task)",
    )
    _terminal.add_all_metrics(parser)
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
    """Raises UserError if a path is not a run folder, for a task that it does not hold, or without
    --spread for a second run."""
    from harmon_eval.comparing import contrast, sources_of_spread
    from harmon_eval.core import UserError
    from harmon_eval.report import headlines, tables
    from harmon_eval.running.progress import Progress, open_console
    from harmon_eval.settings import did_you_mean
    from harmon_eval.store.redact import plain
    from harmon_eval.store.run_folder import RunFolder
    from harmon_eval.store.tables import results_by_task

    run = RunFolder(arguments.run)
    tasks = [name.strip() for name in (arguments.tasks or "").split(",") if name.strip()]
    known = {*run.manifest["tasks"], *results_by_task(run)}
    if unknown := [name for name in tasks if name not in known]:
        raise UserError(
            f"{arguments.run} holds no {unknown[0]!r}: {did_you_mean(unknown[0], known)}"
        )
    for name, task in run.manifest["tasks"].items():
        if task["state"] != "done":
            Progress(name).say(f"not finished ({task['state']})")
    if arguments.judged_again and not arguments.spread:
        raise UserError("--judged-again is for --spread: give both")
    console = open_console()
    if tasks or arguments.all_metrics or len(known) == 1:
        tables.show(arguments.run, console, tasks)
    else:
        headlines.show(run, console)
    lines = contrast.lines(arguments.run)
    if arguments.spread:
        lines += sources_of_spread.lines(arguments.run, arguments.judged_again)
    for line in lines:
        console.print(plain(line), soft_wrap=True, highlight=False, markup=False)
    return 0
