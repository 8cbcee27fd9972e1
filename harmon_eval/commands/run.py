"""Draw, answer, mark and summarize; a second call resumes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.commands import (
    _options,
    _settings,
    _terminal,
    _trackers,
    _workers,
    judging,
)
from harmon_eval.commands.compare import CHANGED, DECISIONS, add_decision_arguments
from harmon_eval.core import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from harmon_eval.running.evaluate import Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "--model",
        default="harmon-mini",
        metavar="NAME|PATH",
        help="harmon-mini (bundled), a folder, a .pth file, a hub id, folder:IMAGES; settings "
        "behind it, as NAME?cfg=3&steps=16 (default: %(default)s; see docs/adapters.md)",
    )
    what.add_argument("--tasks", default="all", metavar="A,B", help="default: all")
    what.add_argument(
        "--suite",
        default="mini",
        metavar="mini|real|official",
        help="where prompts and measuring instruments come from (default: %(default)s)",
    )
    what.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    what.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="only N prompts (or images asked about) of each task, evenly from its "
        "parts; a larger N later adds to them",
    )
    what.add_argument(
        "--shuffle-points",
        type=int,
        metavar="SEED",
        help="ask a judge about the points of checklists in an order drawn with this seed, where "
        "it is asked about all of an image at once",
    )
    what.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    how = parser.add_argument_group("how to draw (default: the model's own settings)")
    _settings.add_arguments(how, (*_settings.DRAWING, "fast"))
    judging.add_arguments(parser)
    machine = parser.add_argument_group("machine, weights and precision")
    machine.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="B",
        help="requests at a time (default: %(default)s)",
    )
    machine.add_argument(
        "--exact",
        action="store_true",
        help="one sample at a time, deterministic kernels: the same numbers at "
        "any batch size (docs/reproducibility.md)",
    )
    _settings.add_arguments(machine, ("device", "dtype", "compile", "kl16"))
    _workers.add_arguments(parser)
    _add_output(parser)
    gate = parser.add_argument_group("against another run")
    gate.add_argument("--baseline", type=Path, metavar="RUN", help="compare with it at the end")
    gate.add_argument(
        "--gate",
        action="store_true",
        help="exit code 1 if shown to be worse than the baseline, 2 if that cannot be told",
    )
    add_decision_arguments(gate)


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="run folder (default: runs/MODEL-SUITE and what else was set, so that "
        "the same call resumes)",
    )
    output.add_argument("--fresh", action="store_true", help="throw away what the folder holds")
    output.add_argument(
        "--predict-only",
        action="store_true",
        help="store the responses and do not mark them: needs no instruments; `mark RUN` continues",
    )
    output.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be asked, what is stored and what is missing, and leave",
    )
    _terminal.add_all_metrics(output)
    _trackers.add_arguments(output)


def first_words(arguments: argparse.Namespace) -> str:
    return f"{_source(arguments.model)}, suite {arguments.suite}, tasks {arguments.tasks}"


def _source(model: str) -> str:
    """What is loaded, and from where, as far as its name says."""
    name = model.partition("?")[0]
    head, _, place = name.partition(":")
    if name == "harmon-mini":
        return f"loading {name}, bundled with this package"
    if head == "folder":
        return f"reading the images in {place}"
    if head == "openai":
        served, at, url = place.rpartition("@http")
        return f"asking {served} at http{url}" if at else f"asking {place}"
    if Path(name).exists():
        return f"loading the weights in {name}"
    if "/" in name and not place:
        return f"loading {name} from the hub or its cache"
    return f"loading {name}"


def _chosen(tasks: str, shuffle: int | None) -> str | list[str]:
    """The tasks, those that ask about points in one request as their variant with ``shuffle``.

    Raises UserError where none of them does."""
    if shuffle is None:
        return tasks
    from harmon_eval import registry
    from harmon_eval.core import UserError
    from harmon_eval.running.evaluate import task_list

    names = {name: registry.task(name).shuffles for name in task_list(tasks)}
    if shuffle < 0 or not any(names.values()):
        raise UserError(
            "--shuffle-points: none of the tasks asks about several points in one request: leave "
            "it out, or choose tiif, unigenbench, specv or a checklist of your own"
        )
    return [
        f"{name}{'+' if ':' in name else ':'}shuffle={shuffle}" if own else name
        for name, own in names.items()
    ]


def main(arguments: argparse.Namespace) -> int:
    from harmon_eval.report import planned as plans
    from harmon_eval.report import tables
    from harmon_eval.running.dry_run import dry_run
    from harmon_eval.running.evaluate import Request, run
    from harmon_eval.running.jobs import RunSettings
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.redact import printable

    request = Request(
        model=arguments.model,
        given=_settings.given(arguments),
        tasks=_chosen(arguments.tasks, arguments.shuffle_points),
        suite=arguments.suite,
        data=arguments.data,
        settings=RunSettings(
            arguments.seed, arguments.limit, arguments.batch_size, arguments.exact
        ),
        output=arguments.output,
        fresh=arguments.fresh,
        instruments=judging.instruments(arguments, arguments.device),
        predict_only=arguments.predict_only,
        pool=_workers.pool(arguments),
        command=_options.for_manifest("run", add_arguments, arguments),
    )
    _check_gate(arguments, request)
    _trackers.check(arguments)
    console = open_console()
    if arguments.dry_run:
        title = f"would run into {printable(request.folder.path)}"
        planned = dry_run(request)
        plans.show(planned.tasks, title, console)
        if planned.unreachable:
            raise UserError("; ".join(planned.unreachable))
        return 0
    outcome = run(request)
    tables.show_outcome(outcome, console, arguments.all_metrics)
    _trackers.send(arguments, outcome.folder.path)
    code = outcome.code
    if arguments.baseline is None:
        return code
    return _against_baseline(arguments, request, code, console)


def _check_gate(arguments: argparse.Namespace, request: Request) -> None:
    """What is wrong with the comparison is said before the first drawing. Raises UserError."""
    from harmon_eval.comparing.folders import wanted
    from harmon_eval.comparing.runs import maxima
    from harmon_eval.store.run_folder import RunFolder
    from harmon_eval.store.tables import results_by_task

    if not arguments.baseline:
        for option in ("gate", *DECISIONS):
            if getattr(arguments, option):
                name = "--" + option.replace("_", "-")
                raise UserError(f"{name} needs a run to compare with: add --baseline RUN")
        return
    for option in ("dry_run", "predict_only"):
        if getattr(arguments, option):
            name = "--" + option.replace("_", "-")
            raise UserError(f"{name} gives no scores to compare: leave out --baseline")
    baseline = results_by_task(RunFolder(arguments.baseline))
    if not baseline:
        raise UserError(f"{arguments.baseline} has no results: finish that run first")
    lacking = [] if request.every_task else [n for n in request.chosen if n not in baseline]
    if lacking and arguments.gate:
        raise UserError(
            f"{arguments.baseline} has no results of {', '.join(lacking)}, so this gate could not "
            f"pass: run the baseline with --tasks {','.join(lacking)} too, or leave them out here"
        )
    compared = {n: r for n, r in baseline.items() if request.every_task or n in request.chosen}
    settings = wanted(arguments.tolerance, arguments.effect, arguments.no_worse_than)
    settings.check(maxima(compared))


def _against_baseline(
    arguments: argparse.Namespace, request: Request, code: int, console: Console
) -> int:
    """Show the comparison; as a gate, its exit code counts, and unscored samples never pass."""
    import harmon_eval
    from harmon_eval.comparing import output

    tasks = None if request.every_task else list(request.chosen)
    found = harmon_eval.compare(
        arguments.baseline,
        request.folder.path,
        tasks=tasks,
        tolerance=arguments.tolerance,
        effect=arguments.effect,
        no_worse_than=arguments.no_worse_than,
        any_settings=arguments.any_settings,
    )
    output.show(found, CHANGED, console, arguments.all_metrics)
    return (found.code or (2 if code else 0)) if arguments.gate else code
