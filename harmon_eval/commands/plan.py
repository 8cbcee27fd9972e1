"""Compute how many samples are needed to see a difference, before any run."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--effect",
        default="",
        metavar="E",
        help="the smallest loss that must not be missed, in the metric's units, or TASK=E,...",
    )
    parser.add_argument(
        "--tolerance",
        default="",
        metavar="T",
        help="the gate's --tolerance: only what E is more than T can be seen (default: 0)",
    )
    parser.add_argument(
        "--no-worse-than",
        default="",
        metavar="T",
        help="instead of --effect: the gate's --no-worse-than, for a candidate that is as good",
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
    """Raises UserError for unknown tasks, or for an effect or margin that cannot be planned for."""
    from harmon_eval import suites
    from harmon_eval.comparing import sources_of_spread
    from harmon_eval.comparing.planning import plan
    from harmon_eval.report.listing import print_rows
    from harmon_eval.running.evaluate import task_list
    from harmon_eval.running.progress import open_console

    suite = suites.load(arguments.suite, arguments.data)
    names = task_list(arguments.tasks)
    wanted, kind = _distances(arguments, names)
    # That all tasks are no worse needs no correction; that any is worse does.
    size = 1 if kind == "margin" else len(names)
    rows, short = [], []
    for name in names:
        found = plan(name, wanted[name], size, suite, arguments.pilot)
        beside = found.detectable
        rows.append(
            {
                "task": name,
                "metric": found.metric,
                kind: f"{found.distance:g}",
                "prompts needed": found.needed,
                "available": found.available,
                "samples each": f"{found.each:g}",
                f"{kind} for all": f"{beside:.3g}",
                "planned from": found.basis,
            }
        )
        if arguments.pilot:
            short += sources_of_spread.lines(arguments.pilot[0], only=(name,))
        if found.needed > found.available:
            short.append(
                f"{name} has only {found.available} prompts: bring more, or accept "
                f"{'an' if kind[0] == 'e' else 'a'} {kind} of {beside:.3g}"
            )
    console = open_console()
    title = f"for 80 % power of one-sided tests at 5 %{' over all these tasks' if size > 1 else ''}"
    print_rows(rows, title, console)
    for line in short:
        console.print(line, soft_wrap=True, highlight=False)
    return 0


def _distances(arguments: argparse.Namespace, names: list[str]) -> tuple[dict[str, float], str]:
    """What each task must be able to see, and its name in the table."""
    from harmon_eval.comparing.folders import wanted
    from harmon_eval.core import UserError

    settings = wanted(arguments.tolerance, arguments.effect, arguments.no_worse_than)
    if not settings.effect and not settings.no_worse_than:
        raise UserError("say what must be seen: --effect E, or --no-worse-than T")
    effects = {name: settings.wanted(name) for name in names}
    if settings.no_worse_than:
        settings.check(names)
        return {name: settings.margin(name) for name in names}, "margin"
    for name, effect in effects.items():
        if effect is None:
            raise UserError(f"--effect has no value for {name}: give {name}=E")
    settings.check(names)
    found = {name: (effect or 0.0) - settings.margin(name) for name, effect in effects.items()}
    return found, "effect beyond the tolerance" if settings.tolerance else "effect"
