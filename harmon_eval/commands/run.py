"""Draw, answer, mark and summarize; a second call resumes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harmon_eval.commands import judging
from harmon_eval.commands.compare import add_decision_arguments
from harmon_eval.core import ModelOptions, UserError

if TYPE_CHECKING:
    from harmon_eval.running.evaluate import Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "--model",
        default="harmon-mini",
        metavar="NAME|PATH",
        help="harmon-mini (bundled), a folder, a .pth file, a hub id, folder:IMAGES "
        "(default: %(default)s)",
    )
    what.add_argument("--tasks", default="all", metavar="A,B", help="default: all")
    what.add_argument(
        "--suite",
        default="mini",
        metavar="mini|official",
        help="where prompts and measuring instruments come from (default: %(default)s)",
    )
    what.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    what.add_argument(
        "--detector",
        choices=("mask2former", "mmdet", "hf"),
        help="what detects GenEval's objects in the official suite: MMDetection's "
        "weights in transformers (default) or in mmdet, or the hub's own "
        "weights, whose scores never share a column",
    )
    what.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="only N prompts (or images asked about) of each task, evenly from its "
        "parts; a larger N later adds to them",
    )
    what.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    _add_drawing_arguments(parser)
    judging.add_arguments(parser)
    machine = parser.add_argument_group("machine (scores do not depend on it)")
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
    machine.add_argument("--device", help="cpu, cuda, mps (default: the best there is)")
    machine.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="default: float32"
    )
    machine.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="captured graphs and compiled blocks on a GPU",
    )
    machine.add_argument("--kl16", type=Path, metavar="FILE", help="VAE weights beside a .pth")
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
        "--dry-run",
        action="store_true",
        help="say what would be asked and what is stored, and leave",
    )
    gate = parser.add_argument_group("against another run")
    gate.add_argument("--baseline", type=Path, metavar="RUN", help="compare with it at the end")
    gate.add_argument(
        "--gate",
        action="store_true",
        help="exit code 1 if worse than the baseline, 2 if that cannot be told",
    )
    add_decision_arguments(gate)


def _add_drawing_arguments(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how to draw (default: the model's own settings)")
    how.add_argument("--cfg", type=float, metavar="SCALE", help="classifier-free guidance scale")
    how.add_argument("--steps", type=int, metavar="K", help="MAR iterations")
    how.add_argument("--diffusion-steps", type=int, metavar="S", help="steps of the head a token")
    how.add_argument("--temperature", type=float, metavar="T", help="of the diffusion noise")
    how.add_argument("--image-size", type=int, metavar="PX", help="side of the drawn images")
    how.add_argument(
        "--solver",
        choices=("ancestral", "ddim", "dpm-solver++"),
        help="of the head; the others need fewer --diffusion-steps",
    )
    how.add_argument(
        "--guidance",
        type=part_of,
        metavar="START:STOP",
        help="guide this part of the iterations only, as 0.0:0.5",
    )
    how.add_argument(
        "--fast",
        action="store_true",
        default=None,
        help="settings that draw faster, at the price in docs/speed.md",
    )


def part_of(text: str) -> tuple[float, float]:
    """START:STOP. Raises ValueError, which argparse turns into its message."""
    start, stop = text.split(":")
    return float(start), float(stop)


def model_options(arguments: argparse.Namespace) -> ModelOptions:
    return ModelOptions(
        device=arguments.device,
        dtype=arguments.dtype,
        kl16=arguments.kl16,
        cfg=arguments.cfg,
        steps=arguments.steps,
        diffusion_steps=arguments.diffusion_steps,
        temperature=arguments.temperature,
        image_size=arguments.image_size,
        solver=arguments.solver,
        guidance=arguments.guidance,
        fast=arguments.fast,
        compile=arguments.compile,
    )


def main(arguments: argparse.Namespace) -> int:
    from harmon_eval.running.dry_run import dry_run
    from harmon_eval.running.evaluate import Request, run
    from harmon_eval.running.jobs import RunSettings

    request = Request(
        model=arguments.model,
        options=model_options(arguments),
        tasks=arguments.tasks,
        suite=arguments.suite,
        data=arguments.data,
        settings=RunSettings(
            arguments.seed, arguments.limit, arguments.batch_size, arguments.exact
        ),
        output=arguments.output,
        fresh=arguments.fresh,
        detector=arguments.detector,
        judge=judging.judge_options(arguments, arguments.device),
    )
    if arguments.gate and not arguments.baseline:
        raise UserError("--gate needs a run to compare with: add --baseline RUN")
    if arguments.dry_run:
        return dry_run(request)
    code = run(request)
    return code if arguments.baseline is None else _against_baseline(arguments, request, code)


def _against_baseline(arguments: argparse.Namespace, request: Request, code: int) -> int:
    """Show the comparison; as a gate, its exit code counts, and unscored samples never pass."""
    from harmon_eval.commands.compare import decide

    tasks = None if request.every_task else [t.strip() for t in arguments.tasks.split(",")]
    verdict = decide(
        arguments.baseline, request.folder.path, tasks=tasks, tolerance=arguments.tolerance
    )
    return (verdict or (2 if code else 0)) if arguments.gate else code
