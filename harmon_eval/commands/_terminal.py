"""Options that say how much is printed, and the first line of a command; no command of its own."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import harmon_eval
from harmon_eval.core import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is printed")
    how_much = group.add_mutually_exclusive_group()
    how_much.add_argument(
        "--quiet", action="store_true", help="only scores, warnings and errors, no progress"
    )
    how_much.add_argument(
        "--verbose", action="store_true", help="also settings, weights, instruments and folders"
    )
    group.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="append every line to it, with the time, whatever is printed",
    )


def add_all_metrics(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--all-metrics", action="store_true", help="every metric of each task, not only headlines"
    )


def announce(arguments: argparse.Namespace, text: str) -> None:
    """Say at once what is going to be loaded, before anything heavy is imported."""
    if not arguments.quiet:
        from harmon_eval.store.redact import plain

        said = f"harmon_eval {harmon_eval.__version__}: {plain(text)}"
        print(fitted(said), file=sys.stderr, flush=True)


def fitted(line: str) -> str:
    """A line for standard error: broken between words on a terminal, else left whole.

    What is longer than the terminal, such as a path, stays in one piece."""
    if not sys.stderr.isatty():
        return line
    return textwrap.fill(
        line,
        shutil.get_terminal_size().columns,
        break_long_words=False,
        break_on_hyphens=False,
    )


@contextmanager
def speaking(arguments: argparse.Namespace) -> Iterator[None]:
    """What the command prints, as its options say. Raises UserError for a log that cannot be."""
    from harmon_eval.running import progress
    from harmon_eval.store.redact import plain

    level = progress.NORMAL
    if arguments.quiet or arguments.verbose:
        level = progress.QUIET if arguments.quiet else progress.VERBOSE
    with ExitStack() as stack:
        try:
            stack.enter_context(progress.speaking(level, arguments.log))
        except OSError as error:
            raise UserError(f"--log {arguments.log}: {error.strerror}: give another path") from None
        try:
            yield
        except UserError as error:
            progress.LOG.error("%s", plain(str(error)))
            raise
