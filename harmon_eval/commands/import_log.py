"""Make a run of another tool's log: marked by our rules, its own marks beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harmon_eval.commands import _options
from harmon_eval.core import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "log",
        type=Path,
        metavar="LOG",
        help="results_DATE.json (lm-eval), DATE_results.json (lmms-eval), a .eval or .json log "
        "(inspect), MODEL_DATASET.xlsx (VLMEvalKit), or a folder with those of one model",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="run folder")
    parser.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="THEIRS=OURS",
        help="which benchmark here a task of the log is, where it is not known by its name; can "
        "be given several times",
    )
    parser.add_argument(
        "--suite",
        default="official",
        metavar="mini|official",
        help="whose questions they are (default: %(default)s)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="pictures that the log only names"
    )
    parser.add_argument("--name", default="", metavar="NAME", help="model, if the log is wrong")
    parser.add_argument("--fresh", action="store_true", help="throw away what the folder holds")


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError for what is no log of a known version."""
    from harmon_eval.exchange.incoming import Request, bring_in
    from harmon_eval.report.tables import show_outcome
    from harmon_eval.running.progress import open_console

    outcome = bring_in(
        Request(
            arguments.log,
            arguments.output,
            _pairs(arguments.task),
            arguments.suite,
            arguments.data,
            arguments.images,
            arguments.name,
            arguments.fresh,
            _options.for_manifest("import", add_arguments, arguments),
        )
    )
    show_outcome(outcome, open_console())
    return outcome.code


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if wrong := [
        text for text, (left, _, right) in zip(given, pairs, strict=True) if not (left and right)
    ]:
        raise UserError(f"--task {wrong[0]!r}: give THEIRS=OURS, such as pope_adv=pope")
    return {left: right for left, _, right in pairs}
