"""One run against another, sample by sample: differences, tests, verdicts; the gate of CI."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import _options, _terminal

CHANGED = 10  # samples to print
DECISIONS = ("no_worse_than", "tolerance", "effect", "any_settings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("baseline", type=Path, metavar="A", help="run folder of the baseline")
    parser.add_argument("candidate", type=Path, metavar="B", help="run folder to judge")
    parser.add_argument("--tasks", metavar="A,B", help="default: those of the baseline")
    add_decision_arguments(parser)
    parser.add_argument(
        "--every-metric", action="store_true", help="all metrics decide, not only the headlines"
    )
    _terminal.add_all_metrics(parser)
    parser.add_argument(
        "--pool",
        type=Path,
        nargs=2,
        action="append",
        default=[],
        metavar=("A2", "B2"),
        help="two more runs of the same two models, with another seed: means over the seeds are "
        "compared; may be repeated",
    )
    parser.add_argument(
        "--changed",
        type=int,
        default=CHANGED,
        metavar="N",
        help="changed samples to print (default: %(default)s)",
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help='append Markdown, as to "$GITHUB_STEP_SUMMARY"'
    )


def add_decision_arguments(parser: argparse._ActionsContainer) -> None:
    """Options of every command that gates a run."""
    parser.add_argument(
        "--no-worse-than",
        default="",
        metavar="T",
        help="pass only what is shown to be worse by less than T, in the metric's units, or "
        "TASK=T,...",
    )
    parser.add_argument(
        "--tolerance",
        default="",
        metavar="T",
        help="pass what is not shown to be worse by more than T, or TASK=T,... (default: 0)",
    )
    parser.add_argument(
        "--effect",
        default="",
        metavar="E",
        help="smallest loss that must not be missed, or TASK=E,...: a run too small to see it "
        "does not pass",
    )
    parser.add_argument(
        "--any-settings",
        action="store_true",
        help="compare other generation settings: two models, two recipes",
    )


def main(arguments: argparse.Namespace) -> int:
    """Exit code of the gate (``Comparison.code``)."""
    import harmon_eval
    from harmon_eval.comparing import output
    from harmon_eval.core import UserError
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.durable import write_json, write_whole

    command = _options.for_manifest("compare", add_arguments, arguments)
    try:
        found = harmon_eval.compare(
            arguments.baseline,
            arguments.candidate,
            tasks=[name.strip() for name in arguments.tasks.split(",")]
            if arguments.tasks
            else None,
            tolerance=arguments.tolerance,
            effect=arguments.effect,
            no_worse_than=arguments.no_worse_than,
            every_metric=arguments.every_metric,
            any_settings=arguments.any_settings,
            pool=arguments.pool,
        )
    except UserError as error:
        # Code 2 is also that of an undecided gate: the files say which it was.
        if arguments.junit:
            write_whole(arguments.junit, output.junit_of_error(str(error), command["line"]))
        if arguments.json:
            write_json(arguments.json, output.json_of_error(str(error), command))
        raise
    # Files first: whoever reads what is printed may leave before its end.
    if arguments.junit:
        write_whole(arguments.junit, output.junit(found, command["line"]))
    if arguments.json:
        write_json(arguments.json, output.as_json(found, command))
    if arguments.summary:
        arguments.summary.parent.mkdir(parents=True, exist_ok=True)
        with arguments.summary.open("a", encoding="utf-8") as file:
            file.write(output.markdown(found, arguments.changed, command["line"]))
    output.show(found, arguments.changed, open_console(), arguments.all_metrics)
    return found.code
