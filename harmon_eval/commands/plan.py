"""Compute how many samples are needed to see a difference, before any run."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--effect",
        required=True,
        metavar="E",
        help="the smallest difference that you want to see, in the metric's units, or TASK=E,...",
    )
    parser.add_argument("--tasks", required=True, metavar="A,B")
    parser.add_argument(
        "--pilot",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="a small run to measure the spread, or better two runs of different checkpoints",
    )
    parser.add_argument("--suite", default="mini", metavar="mini|official")
    parser.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError for unknown tasks, or for an effect that is not a number above zero."""
    from harmon_eval import suites
    from harmon_eval.comparing import sources_of_spread
    from harmon_eval.comparing.planning import plan
    from harmon_eval.comparing.verdict import by_task
    from harmon_eval.core import UserError
    from harmon_eval.report import tables
    from harmon_eval.running.evaluate import task_list
    from harmon_eval.running.progress import open_console

    effects = by_task(arguments.effect, "--effect")
    suite = suites.load(arguments.suite, arguments.data)
    names = task_list(arguments.tasks)
    rows, short = [], []
    for name in names:
        effect = effects.get(name, effects.get(""))
        if effect is None:
            raise UserError(f"--effect has no value for {name}: give {name}=E")
        found = plan(name, effect, len(names), suite, arguments.pilot)
        rows.append(
            {
                "task": name,
                "metric": found.metric,
                "effect": f"{found.effect:g}",
                "prompts needed": found.needed,
                "available": found.available,
                "samples each": f"{found.each:g}",
                "effect of all": f"{found.detectable:.3g}",
                "planned from": found.basis,
            }
        )
        if arguments.pilot:
            short += sources_of_spread.lines(arguments.pilot[0], only=(name,))
        if found.needed > found.available:
            short.append(
                f"{name} has only {found.available} prompts: compare over more seeds, or "
                f"accept an effect of {found.detectable:.3g}"
            )
    console = open_console()
    tables.print_rows(rows, "for 80 % power at 5 % over all these tasks", console)
    for line in short:
        console.print(line, soft_wrap=True, highlight=False)
    return 0
