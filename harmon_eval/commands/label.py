"""Mark samples of a run by hand, in a page on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, which keeps the marks")
    parser.add_argument("--task", metavar="A", help="default: the only task of the run")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="RUN",
        help="another run of the same task: say which response is better, or that they tie",
    )
    parser.add_argument(
        "--samples", type=int, default=60, metavar="N", help="how many, at random (default: 60)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random choice")
    parser.add_argument("--scale", default="", metavar="1-5", help="default: right or wrong")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="default: any free one")


def main(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C. Raises UserError for a run that cannot be marked."""
    from harmon_eval.core import UserError
    from harmon_eval.people.labelling import Settings, label_command, open_page

    if arguments.samples < 1 or arguments.seed < 0:
        raise UserError("--samples must be at least 1 and --seed at least 0")
    chosen = Settings(
        arguments.task,
        arguments.against,
        arguments.samples,
        arguments.seed,
        arguments.scale,
        arguments.data,
        arguments.port,
    )
    with open_page(arguments.run, chosen) as page:
        print(f"open {page.address}")
        print("every mark is stored at once; Ctrl-C ends, the same command goes on", flush=True)
        try:
            page.serve_forever()
        except KeyboardInterrupt:
            command = label_command(
                arguments.run, page.task, arguments.against, arguments.scale, "calibrate"
            )
            print(f"the marks are in {arguments.run}: `{command}` reads them")
    return 0
