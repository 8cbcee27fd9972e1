"""Compute how many samples are needed to see a difference, before any run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harmon_eval.comparing.margins import Settings
    from harmon_eval.suites.suite import Suite


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
    parser.add_argument(
        "--human",
        type=float,
        metavar="WIDTH",
        help="how many samples people have to mark for an interval of the corrected number that "
        "is so wide, in the metric's units (docs/human-marks.md)",
    )
    parser.add_argument("--tasks", required=True, metavar="A,B", help="for which it is")
    parser.add_argument(
        "--pilot",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="a small run to measure the spread, or better two runs of different checkpoints",
    )
    parser.add_argument(
        "--suite",
        default="mini",
        metavar="mini|real|official",
        help="where prompts and measuring instruments come from (default: %(default)s)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError for unknown tasks, or for an effect or margin that cannot be planned for."""
    from harmon_eval import suites
    from harmon_eval.comparing import sources_of_spread
    from harmon_eval.comparing.planning import plan
    from harmon_eval.comparing.power import in_words
    from harmon_eval.metrics.text import counted, rounded_up
    from harmon_eval.report.listing import print_rows
    from harmon_eval.running.evaluate import task_list
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.redact import plain

    suite = suites.load(arguments.suite, arguments.data)
    names = task_list(arguments.tasks)
    if arguments.human is not None:
        return _human(arguments, names, suite)
    settings, kind = _wanted(arguments, names)
    # That all tasks are no worse needs no correction; that any is worse does.
    size = 1 if kind == "margin" else len(names)
    rows, short = [], []
    for name in names:
        margin, effect = settings.margin(name), settings.wanted(name)
        distance, tolerance = (margin, None) if effect is None else (effect - margin, margin)
        found = plan(name, distance, size, suite, arguments.pilot, tolerance)
        beside = "none" if found.detectable is None else rounded_up(found.detectable)
        rows.append(
            {
                "task": name,
                "metric": found.metric,
                kind: f"{found.distance:g}",
                "prompts needed": in_words(found.needed),
                "available": f"{found.available:,}",
                "samples each": f"{found.each:.3g}",
                f"{kind} for all": beside,
                "planned from": found.basis,
            }
        )
        for pilot in arguments.pilot:
            told = sources_of_spread.lines(pilot, only=(name,))
            short += [f"{pilot}:", *told] if len(arguments.pilot) > 1 else told
        if found.needed > found.available:
            accept = f", or accept {'an' if kind[0] == 'e' else 'a'} {kind} of {beside}"
            short.append(
                f"{name} has only {counted(found.available, 'prompt')}: bring more"
                + accept * (found.detectable is not None)
            )
    console = open_console()
    title = f"for 80 % power of one-sided tests at 5 %{' over all these tasks' if size > 1 else ''}"
    print_rows(rows, title, console)
    for line in short:
        console.print(plain(line), soft_wrap=True, highlight=False, markup=False)
    return 0


def _human(arguments: argparse.Namespace, names: list[str], suite: Suite) -> int:
    """How many samples people have to mark. Raises UserError."""
    from harmon_eval import registry
    from harmon_eval.core import UserError
    from harmon_eval.metrics.text import counted, number
    from harmon_eval.people.calibration import calibrate
    from harmon_eval.people.planning import marks_needed
    from harmon_eval.report.listing import print_rows
    from harmon_eval.running.jobs import RunSettings, prepare
    from harmon_eval.running.progress import open_console

    if arguments.effect or arguments.tolerance or arguments.no_worse_than:
        raise UserError("--human plans marks, the other options runs: ask for one at a time")
    if len(arguments.pilot) > 1:
        raise UserError("--human takes one --pilot RUN with marks by people")
    rows, short = [], []
    for name in names:
        main = registry.task(name).main
        if not main.maximum:
            raise UserError(f"{name}: {main.name} is no mean of marks, so people cannot correct it")
        pilot = calibrate(arguments.pilot[0], name) if arguments.pilot else None
        total = (
            pilot.total
            if pilot
            else len(prepare(name, registry.task(name), suite, RunSettings()).everything)
        )
        found = marks_needed(arguments.human, total, main.maximum, pilot)
        needed = "more than there are" if found.needed is None else f"{found.needed:,}"
        rows.append(
            {
                "task": name,
                "metric": main.name.partition("[")[0],
                "width": f"{arguments.human:g}",
                "samples to mark": needed,
                "of": f"{found.total:,}",
                "planned from": found.basis,
            }
        )
        if found.needed is None:
            short.append(
                f"{name}: all {counted(found.total, 'sample')} give a width of "
                f"{number(found.least)}: accept that, or bring more samples"
            )
    console = open_console()
    print_rows(rows, "for a 95 % interval of the number corrected by people's marks", console)
    for line in short:
        console.print(line, soft_wrap=True, highlight=False)
    return 0


def _wanted(arguments: argparse.Namespace, names: list[str]) -> tuple[Settings, str]:
    """What must be seen of each task, and what it is called in the table. Raises UserError."""
    from harmon_eval import registry
    from harmon_eval.comparing.folders import wanted
    from harmon_eval.core import UserError

    settings = wanted(arguments.tolerance, arguments.effect, arguments.no_worse_than)
    if not settings.effect and not settings.no_worse_than:
        raise UserError("say what must be seen: --effect E, --no-worse-than T, or --human WIDTH")
    for name in names:
        if settings.effect and settings.wanted(name) is None:
            raise UserError(f"--effect has no value for {name}: give {name}=E")
    settings.check({name: registry.task(name).main.maximum for name in names})
    if settings.no_worse_than:
        return settings, "margin"
    return settings, "effect beyond the tolerance" if settings.tolerance else "effect"
