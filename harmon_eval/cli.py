"""The command line: names and files in, exit codes out. Importing it imports no torch."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path

from harmon_eval.core import UserError

EXAMPLES = """examples:
  python -m harmon_eval                                  every task on the bundled mini suite
  python -m harmon_eval --tasks geneval,mjhq --limit 50  a quick look at two of them
  python -m harmon_eval --model wusize/Harmon-1_5B --suite official --data DIR --device cuda
  python -m harmon_eval --model folder:IMAGES --tasks geneval    mark images made elsewhere

exit codes: 0 done, 1 finished with unscored samples, 2 wrong usage or input, 130 interrupted
"""
COMMANDS = ("run", "list", "mark", "show", "leaderboard")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harmon_eval",
        description="Benchmarks for models that both understand and generate images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="draw, answer, mark, summarize (the default command)",
        description="Run tasks on a model. A second call resumes and asks only what is missing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_run_options(run)
    commands.add_parser("list", help="tasks, models and suites")
    mark = commands.add_parser("mark", help="mark and summarize stored responses again, no model")
    mark.add_argument("run", type=Path, metavar="RUN")
    mark.add_argument("--tasks", default="", metavar="A,B", help="only these")
    mark.add_argument("--data", type=Path, metavar="DIR", help="benchmark data, if not as before")
    show = commands.add_parser("show", help="print the table of a run")
    show.add_argument("run", type=Path, metavar="RUN")
    board = commands.add_parser("leaderboard", help="several runs in one Markdown table")
    board.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    board.add_argument("--output", type=Path, metavar="FILE", help="write instead of printing")
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run")
    what.add_argument("--model", default="harmon-mini", metavar="NAME|PATH",
                      help="harmon-mini (bundled), a folder, a .pth, a hub id, folder:IMAGES, "
                           "scripted (default: %(default)s)")  # fmt: skip
    what.add_argument("--tasks", default="all", metavar="A,B", help="default: all")
    what.add_argument("--suite", default="mini", help="mini (bundled) or official")
    what.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    what.add_argument("--limit", type=int, metavar="N", help="about N samples a task")
    what.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    how = parser.add_argument_group("how to draw (default: the model's own settings)")
    how.add_argument("--cfg", type=float, metavar="SCALE", help="classifier-free guidance scale")
    how.add_argument("--steps", type=int, metavar="K", help="MAR iterations")
    how.add_argument("--diffusion-steps", type=int, metavar="S", help="steps of the head a token")
    how.add_argument("--temperature", type=float, metavar="T", help="of the diffusion noise")
    how.add_argument("--image-size", type=int, metavar="PX", help="side of drawn images")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--batch-size", type=int, default=32, metavar="B")
    machine.add_argument("--device", default="auto", help="cpu, cuda, mps (default: best there is)")
    machine.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    machine.add_argument("--kl16", type=Path, metavar="FILE", help="VAE weights beside a .pth")
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, metavar="DIR",
                        help="run folder (default: runs/MODEL-SUITE-…; the same call resumes)")  # fmt: skip
    output.add_argument("--fresh", action="store_true", help="throw away what the folder holds")
    output.add_argument("--dry-run", action="store_true", help="say what would be asked, and leave")


def parse(argv: list[str]) -> argparse.Namespace:
    """``run`` is the default command: options without a command belong to it."""
    first = argv[0] if argv else ""
    if first not in (*COMMANDS, "-h", "--help", "--version"):
        argv = ["run", *argv]
    return build_parser().parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse(sys.argv[1:] if argv is None else argv)
    if arguments.version:
        from importlib.metadata import version

        print(f"harmon_eval {version('harmon-eval')}")
        return 0
    try:
        from harmon_eval import commands

        return getattr(commands, arguments.command)(arguments)
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fail(f"no space left ({error.filename or 'disk full'}): free some and run the "
                         "same command again; what is stored is kept")  # fmt: skip
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            return _fail(f"no permission: {error.filename}; choose another --output")
        raise


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
