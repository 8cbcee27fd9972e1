"""Options for workers beside this process; no command of its own."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harmon_eval.core import UserError

if TYPE_CHECKING:
    from harmon_eval.running.engine import Pool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    workers = parser.add_argument_group("workers (needs the package ray; docs/scaling.md)")
    workers.add_argument(
        "--workers", type=int, metavar="N", help="that many on this machine, or on the cluster"
    )
    workers.add_argument(
        "--ray", metavar="ADDRESS|auto", help="a Ray cluster: a worker on each of its GPUs"
    )
    workers.add_argument(
        "--cpus-per-worker", type=int, default=1, metavar="N", help="default: %(default)s"
    )
    workers.add_argument(
        "--batch-timeout",
        type=float,
        default=1800.0,
        metavar="SECONDS",
        help="a worker that takes longer for a batch is replaced (default: %(default)g)",
    )


def pool(arguments: argparse.Namespace) -> Pool:
    """Raises UserError."""
    from harmon_eval.running.engine import Pool

    if arguments.ray == "":
        raise UserError("--ray is empty: give ADDRESS or auto, or leave it out")
    return Pool(
        arguments.workers, arguments.ray, arguments.cpus_per_worker, arguments.batch_timeout
    )
