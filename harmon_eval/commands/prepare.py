"""Fetch what tasks need in the official suite: data and weights of instruments."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tasks", metavar="A,B", help="tasks, such as geneval,mjhq")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="put the files there, for --data DIR of a run "
        "(default: the cache, where a run looks by itself)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Every file is tried; those that cannot be had are said, and make the exit code 2."""
    from harmon_eval import registry
    from harmon_eval.core import UserError
    from harmon_eval.running.evaluate import task_list
    from harmon_eval.running.progress import Progress
    from harmon_eval.suites.download import fetch, needed, unpack
    from harmon_eval.suites.suite import Suite, prepared_file

    failed = False
    suite = Suite("official", arguments.data)
    for name in task_list(arguments.tasks):
        progress, task = Progress(name), registry.task(name)
        for remote in needed(name, task, suite):
            target = prepared_file(remote.place, arguments.data)
            try:
                fetch(remote, target, progress)
                if remote.unpack:
                    unpack(target, remote.unpack, progress)
            except UserError as error:
                progress.say(str(error))
                failed = True
            else:
                progress.say(f"ready: {target}")
        if "official" not in task.sources:
            progress.say("nothing to fetch")
            continue
        try:  # what its owners must give is said
            progress.say(f"data: {suite.data(name, task).folder}")
        except UserError as error:
            progress.say(str(error))
            failed = True
    return 2 if failed else 0
