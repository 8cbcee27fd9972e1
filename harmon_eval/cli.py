"""The command line: names and files in, exit codes out. Importing it imports no torch."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harmon_eval.core import ModelOptions, UserError

PROGRAM = "python -m harmon_eval"
COMMANDS = {
    "run": "draw, answer, mark, summarize; the default command, a second call resumes",
    "list": "the tasks, models and suites there are",
    "mark": "mark stored responses and summarize, without the model",
    "show": "print the table of a run",
    "leaderboard": "several runs in one Markdown table",
}
EPILOG = (
    "commands:\n"
    + "".join(f"  {name:<12} {text}\n" for name, text in COMMANDS.items())
    + """
examples:
  python -m harmon_eval
      every task on the bundled model and the mini suite: no network, no GPU
  python -m harmon_eval --model wusize/Harmon-1_5B --suite official --tasks geneval --device cuda
      a real model on the official prompts
  python -m harmon_eval --model folder:IMAGES --tasks geneval
      mark images that something else drew

exit codes: 0 done, 1 finished with unscored samples, 2 wrong usage or input, 130 interrupted
"""
)


def installed() -> str:
    try:
        return version("harmon-eval")
    except PackageNotFoundError:  # a checkout that was not installed
        return "(not installed)"


def run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [run] [options]  |  {PROGRAM} COMMAND --help",
        description="Benchmarks for models that both understand and generate images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"harmon_eval {installed()}")
    what = parser.add_argument_group("what to run")
    what.add_argument("--model", default="harmon-mini", metavar="NAME|PATH",
                      help="harmon-mini (bundled), a folder, a .pth file, a hub id, folder:IMAGES "
                           "(default: %(default)s)")  # fmt: skip
    what.add_argument("--tasks", default="all", metavar="A,B", help="default: all")
    what.add_argument("--suite", default="mini", metavar="mini|official",
                      help="where prompts and measuring instruments come from "
                           "(default: %(default)s)")  # fmt: skip
    what.add_argument("--data", type=Path, metavar="DIR", help="benchmark data that you have")
    what.add_argument("--limit", type=int, metavar="N",
                      help="only N prompts (or images asked about) of each task, evenly from its "
                           "parts; a larger N later adds to them")  # fmt: skip
    what.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    how = parser.add_argument_group("how to draw (default: the model's own settings)")
    how.add_argument("--cfg", type=float, metavar="SCALE", help="classifier-free guidance scale")
    how.add_argument("--steps", type=int, metavar="K", help="MAR iterations")
    how.add_argument("--diffusion-steps", type=int, metavar="S", help="steps of the head a token")
    how.add_argument("--temperature", type=float, metavar="T", help="of the diffusion noise")
    how.add_argument("--image-size", type=int, metavar="PX", help="side of the drawn images")
    machine = parser.add_argument_group("machine (scores do not depend on it)")
    machine.add_argument("--batch-size", type=int, default=32, metavar="B",
                         help="requests at a time (default: %(default)s)")  # fmt: skip
    machine.add_argument("--device", help="cpu, cuda, mps (default: the best there is)")
    machine.add_argument("--dtype", choices=("float32", "bfloat16", "float16"),
                         help="default: float32")  # fmt: skip
    machine.add_argument("--kl16", type=Path, metavar="FILE", help="VAE weights beside a .pth")
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, metavar="DIR",
                        help="run folder (default: runs/MODEL-SUITE and what else was set, so that "
                             "the same call resumes)")  # fmt: skip
    output.add_argument("--fresh", action="store_true", help="throw away what the folder holds")
    output.add_argument("--dry-run", action="store_true",
                        help="say what would be asked and what is stored, and leave")  # fmt: skip
    return parser


def command_parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {command}", description=COMMANDS[command])
    if command in ("mark", "show"):
        parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    if command == "mark":
        parser.add_argument("--tasks", metavar="A,B", help="default: those of the run")
        parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")
    if command == "leaderboard":
        parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
        parser.add_argument("--output", type=Path, metavar="FILE", help="write, not print")
    return parser


def parse(argv: list[str]) -> tuple[str, argparse.Namespace]:
    """The command and its arguments; options without a command belong to ``run``."""
    command, rest = ("run", argv) if not argv or argv[0].startswith("-") else (argv[0], argv[1:])
    if command not in COMMANDS:
        from harmon_eval.registry import did_you_mean

        raise UserError(f"unknown command {command!r}: {did_you_mean(command, COMMANDS)}")
    parser = run_parser() if command == "run" else command_parser(command)
    return command, parser.parse_args(rest)


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
    )


def dispatch(command: str, arguments: argparse.Namespace) -> int:
    commands = import_module("harmon_eval.commands")
    if command == "mark":
        return int(commands.mark(arguments.run, arguments.tasks, arguments.data))
    if command == "show":
        return int(commands.show(arguments.run))
    if command == "leaderboard":
        return int(commands.leaderboard(arguments.runs, arguments.output))
    if command == "list":
        return int(commands.list_all())
    request = commands.Request(
        model=arguments.model,
        options=model_options(arguments),
        tasks=arguments.tasks,
        suite=arguments.suite,
        data=arguments.data,
        settings=commands.RunSettings(arguments.seed, arguments.limit, arguments.batch_size),
        output=arguments.output,
        fresh=arguments.fresh,
    )
    return int(commands.dry_run(request) if arguments.dry_run else commands.run(request))


def main(argv: list[str] | None = None) -> int:
    try:
        return dispatch(*parse(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fail(f"no space left{where}: free some and give the same command again, "
                         "what is stored is kept")  # fmt: skip
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            return _fail(f"no permission{where}: choose another --output")
        raise


def _fail(message: str) -> int:
    """One line on standard error, whatever the message came from."""
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    print(f"error: {line}", file=sys.stderr)
    return 2
