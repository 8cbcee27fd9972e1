"""One run against another, sample by sample: differences, tests, verdicts; the gate of CI."""

from __future__ import annotations

import argparse
from pathlib import Path

CHANGED = 10  # samples to print


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("baseline", type=Path, metavar="A", help="run folder of the baseline")
    parser.add_argument("candidate", type=Path, metavar="B", help="run folder to judge")
    parser.add_argument("--tasks", metavar="A,B", help="default: those of the baseline")
    add_decision_arguments(parser)
    parser.add_argument(
        "--effect",
        default="",
        metavar="E",
        help="smallest difference that matters, or TASK=E,...: a run too small to "
        "see it does not pass",
    )
    parser.add_argument(
        "--every-metric", action="store_true", help="all metrics decide, not only the headlines"
    )
    parser.add_argument(
        "--any-settings",
        action="store_true",
        help="compare other generation settings: two models, two recipes",
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
    parser.add_argument(
        "--tolerance",
        default="",
        metavar="T",
        help="loss to put up with, in the metric's units, or TASK=T,... (default: none)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Exit code of the gate (``Comparison.code``)."""
    import harmon_eval
    from harmon_eval.comparing import output
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.durable import write_json, write_whole

    found = harmon_eval.compare(
        arguments.baseline,
        arguments.candidate,
        tasks=[name.strip() for name in arguments.tasks.split(",")] if arguments.tasks else None,
        tolerance=arguments.tolerance,
        effect=arguments.effect,
        every_metric=arguments.every_metric,
        any_settings=arguments.any_settings,
    )
    # Files first: whoever reads what is printed may leave before its end.
    if arguments.junit:
        write_whole(arguments.junit, output.junit(found))
    if arguments.json:
        write_json(arguments.json, output.as_json(found))
    if arguments.summary:
        arguments.summary.parent.mkdir(parents=True, exist_ok=True)
        with arguments.summary.open("a", encoding="utf-8") as file:
            file.write(output.markdown(found, arguments.changed))
    output.show(found, arguments.changed, open_console())
    return found.code
