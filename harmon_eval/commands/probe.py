"""Probe several encoders, layer by layer, and write one table and one plot."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import _options, _settings, _terminal, _workers

MODELS = "harmon:harmon-mini?layer=all,vae:harmon-mini,pixels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        default=MODELS,
        metavar="A,B",
        help="encoders to compare; harmon:PLACE?layer=all probes all its layers in one pass "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        default="",
        metavar="SOURCE?views=K",
        help="a folder or hub dataset to use instead of the suite's images, and K random crops of "
        "each training image (docs/probing.md)",
    )
    parser.add_argument(
        "--suite",
        default="mini",
        metavar="mini|official",
        help="where images and labels come from (default: %(default)s)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="use only N images, from all classes"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="B",
        help="images at a time (default: %(default)s)",
    )
    _settings.add_arguments(parser, ("device", "dtype"))
    _workers.add_arguments(parser)
    _terminal.add_all_metrics(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/probe"),
        metavar="DIR",
        help="for a run folder per encoder, probe.csv, probe.md and probe.png "
        "(default: %(default)s); run it again to resume",
    )


def first_words(arguments: argparse.Namespace) -> str:
    return f"loading the encoders {arguments.models}, suite {arguments.suite}"


def main(arguments: argparse.Namespace) -> int:
    """Returns exit code 1 if any model has unscored images. Raises UserError for wrong input."""
    import re

    from harmon_eval import registry
    from harmon_eval.core import UserError
    from harmon_eval.report import probe_study, tables
    from harmon_eval.report.listing import print_rows
    from harmon_eval.running import evaluate
    from harmon_eval.running.jobs import RunSettings
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.redact import printable

    models = [name.strip() for name in arguments.models.split(",") if name.strip()]
    if not models:
        raise UserError("--models names no model: give A,B")
    task = f"linear_probe:{arguments.images}" if arguments.images else "linear_probe"
    # An option for all encoders is passed only to those that have the setting.
    given = _settings.given(arguments)
    own = {m: {k: v for k, v in given.items() if k in registry.model_settings(m)} for m in models}
    console = open_console()
    outcomes = []
    for model in models:
        run = arguments.output / re.sub(r"[^\w.=-]+", "-", model).strip("-.")
        outcome = evaluate.run(
            evaluate.Request(
                model=model,
                given=own[model],
                tasks=task,
                suite=arguments.suite,
                settings=RunSettings(0, arguments.limit, arguments.batch_size),
                data=arguments.data,
                output=run,
                pool=_workers.pool(arguments),
                command=_options.for_manifest("probe", add_arguments, arguments),
            )
        )
        tables.show_outcome(outcome, console, arguments.all_metrics)
        outcomes.append(outcome)
    study = probe_study.study(outcomes, task)
    probe_study.write(study, arguments.output)
    print_rows(probe_study.table(study), "top-1 in percent, mean over sets", console)
    console.print(f"plot: {printable(arguments.output / 'probe.png')}", soft_wrap=True)
    return max(outcome.code for outcome in outcomes)
