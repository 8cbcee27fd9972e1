"""The command lines of the benchmarks: help that teaches, and errors in one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from harmon_eval import parsing, registry
from harmon_eval.core import UserError


def number(text: str) -> int:
    """A whole number above 0, the type of an argument."""
    return _whole(text, 1, "above 0")


def count(text: str) -> int:
    """A whole number from 0, the type of an argument."""
    return _whole(text, 0, "from 0")


def _whole(text: str, least: int, which: str) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"needs a whole number {which}, not {text!r}")
    return int(text)


def numbers(text: str) -> list[int]:
    """Whole numbers above 0 with commas between them, the type of an argument."""
    return [number(part) for part in text.split(",")]


def model(text: str) -> str:
    """The name of a model that there is, the type of an argument."""
    _checked(text, registry.check_model)
    return text


def tasks(text: str) -> list[str]:
    """Names of tasks that there are, with commas between them, the type of an argument."""
    names = text.split(",")
    for name in names:
        _checked(name, registry.check_task_name)
    return names


def _checked(name: str, check: Callable[[str], object]) -> None:
    try:
        check(name)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Parser(parsing.Parser):
    """Of the benchmark ``name``, whose module says in ``doc`` what it does and how it is called."""

    def __init__(self, name: str, doc: str | None) -> None:
        first, *rest = (doc or "").strip("\n").split("\n\n")
        program = f"python -m benchmarks{'.' * bool(name)}{name}"
        # Commands and lists stay as they are; sentences fill the terminal's lines.
        blocks = [b if b[0] in " -*" else " ".join(b.split()) for b in rest if b.strip()]
        super().__init__(
            prog=program, description=" ".join(first.split()), epilog="\n\n".join(blocks).rstrip()
        )

    def format_help(self) -> str:
        """With the default of every option that has one."""
        for action in self._actions:
            said, usual = action.help or "", action.default
            hidden = argparse.SUPPRESS in (said, usual)
            if action.option_strings and usual and not hidden and "%(default)s" not in said:
                action.help = f"{said} (default: %(default)s)".strip()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        try:
            super().error(message)
        except UserError as error:
            self.exit(2, f"error: {error}\n")
