"""One run against another, sample by sample: differences, tests, verdicts; the gate of CI."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


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
        default=10,
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
    return decide(
        arguments.baseline,
        arguments.candidate,
        tasks=[name.strip() for name in arguments.tasks.split(",")] if arguments.tasks else None,
        tolerance=arguments.tolerance,
        effect=arguments.effect,
        every_metric=arguments.every_metric,
        any_settings=arguments.any_settings,
        most=arguments.changed,
        junit=arguments.junit,
        json=arguments.json,
        summary=arguments.summary,
    )


def decide(
    baseline: Path,
    candidate: Path,
    *,
    tasks: Sequence[str] | None = None,
    tolerance: str = "",
    effect: str = "",
    every_metric: bool = False,
    any_settings: bool = False,
    most: int = 10,
    junit: Path | None = None,
    json: Path | None = None,
    summary: Path | None = None,
) -> int:
    """Compare, print and write. Returns the exit code of the gate (``Comparison.code``)."""
    from harmon_eval.comparing import output
    from harmon_eval.comparing.changes import changes
    from harmon_eval.comparing.runs import pairs
    from harmon_eval.comparing.verdict import Settings, by_task, compare
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.durable import write_json, write_whole
    from harmon_eval.store.run_folder import RunFolder

    settings = Settings(
        by_task(tolerance, "--tolerance"), by_task(effect, "--effect"), every_metric
    )
    ours, theirs = RunFolder(baseline), RunFolder(candidate)
    chosen = list(pairs(ours, theirs, tasks, any_settings))
    settings.check([pair.name for pair in chosen])
    result = compare(chosen, settings)
    changed = [change for pair in chosen for change in changes(pair, ours, theirs)]
    output.show(result, changed, most, open_console())
    if junit:
        write_whole(junit, output.junit(result))
    if json:
        write_json(json, output.as_json(result, changed))
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(output.markdown(result, changed, most))
    return result.code
