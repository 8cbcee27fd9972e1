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
    from harmon_eval.core import UserError
    from harmon_eval.running.evaluate import task_list
    from harmon_eval.running.progress import Progress
    from harmon_eval.suites.official import NEEDED, SHARED, OfficialSuite
    from harmon_eval.suites.official_download import fetch, unpack
    from harmon_eval.suites.official_files import FILES
    from harmon_eval.suites.official_weights import target_of

    failed = False
    for name in task_list(arguments.tasks):
        progress = Progress(name)
        task = name.partition(":")[0]
        for remote in FILES.get(name, FILES.get(task, ())):
            target = target_of(remote.place, arguments.data)
            try:
                fetch(remote, target, progress)
                if remote.unpack:
                    unpack(target, remote.unpack, progress)
            except UserError as error:
                progress.say(str(error))
                failed = True
            else:
                progress.say(f"ready: {target}")
        if task not in NEEDED and task not in SHARED:
            progress.say("nothing to fetch")
            continue
        try:  # what is for its owners to give is said
            progress.say(f"data: {OfficialSuite(arguments.data).data(task)}")
        except UserError as error:
            progress.say(str(error))
            failed = True
    return 2 if failed else 0
