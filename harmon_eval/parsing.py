"""Command lines that teach: help that fits the terminal, errors in one line with the word meant."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from collections.abc import Iterable
from typing import Any, NoReturn

from harmon_eval.core import UserError
from harmon_eval.settings import did_you_mean

COMMAND = re.compile(r" +(python|accelerate) ")  # a line of help to be copied
ROW = re.compile(r"( *\S+ {2,})\S")


class Formatter(argparse.HelpFormatter):
    """Lines of descriptions and examples stay, each fitted to the width. Paths are never cut."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(_fitted(indent + line, width) for line in text.splitlines())


def _fitted(line: str, width: int) -> str:
    """A line of help: commands go on behind a backslash, rows of a list below their text."""
    if len(line) <= width:
        return line
    margin = " " * (len(line) - len(line.lstrip(" ")))
    last, hanging = "", margin
    if COMMAND.match(line):
        last, hanging = " \\", margin + "    "
    elif row := ROW.match(line):
        hanging = " " * len(row[1])
    lines = textwrap.wrap(
        line.strip() if last else line,
        width - len(last),
        initial_indent=margin if last else "",
        subsequent_indent=hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return f"{last}\n".join(lines)


class Parser(argparse.ArgumentParser):
    """Errors in one line that names the option, as every other error is."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"formatter_class": Formatter, "allow_abbrev": False, **settings})

    def format_usage(self) -> str:
        return self._short_usage(self.usage) + "\n"

    def format_help(self) -> str:
        self.usage, given = argparse.SUPPRESS, self.usage
        try:
            return f"{self._short_usage(given)}\n\n{super().format_help()}"
        finally:
            self.usage = given

    def _short_usage(self, given: str | None) -> str:
        """What has to be given; the options are listed below it."""
        words = [self.prog]
        for action in sorted(self._actions, key=lambda a: bool(a.option_strings)):
            if action.option_strings and not action.required:
                continue
            name = action.metavar or action.dest
            name = name if isinstance(name, str) else " ".join(name)
            several = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}
            shown = several.get(str(action.nargs), name)
            words.append(" ".join([*action.option_strings[-1:], shown]))
        text = given or " ".join([*words, "[options]"])
        width = self._get_formatter()._width
        return "\n".join(
            textwrap.fill(part, width, subsequent_indent=" " * 7, break_on_hyphens=False)
            for part in f"usage: {text}".splitlines()
        )

    def error(self, message: str) -> NoReturn:
        """Raises UserError, which for an unknown option says which one is meant."""
        _, unrecognized, words = message.partition("unrecognized arguments: ")
        if unrecognized:
            raise UserError(self._unknown(words.split(" ")[0].partition("=")[0]))
        choice = re.fullmatch(
            r"argument (.*): invalid choice: '(.*)' \(choose from (.*)\)", message
        )
        if choice:
            option, word, known = choice.groups()
            hint = did_you_mean(word, known.replace("'", "").split(", "), cutoff=0.6)
            raise UserError(f"{option}: no choice is called {word!r}: {hint}")
        raise UserError(f"{message} (see `{self.prog} --help`)")

    def elsewhere(self, word: str) -> str:
        """What an argument that this command does not take is for, if anything; for messages."""
        return ""

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            more = self.elsewhere(word) or f"see `{self.prog} --help`"
            return f"{word!r} is one argument too many ({more})"
        hint = self.meant(word, self._option_string_actions)
        return f"unknown option {word}: {hint or f'`{self.prog} --help` lists the options'}"

    def meant(self, word: str, known: Iterable[str]) -> str:
        """What an unknown option, with or without its dashes, is meant to be; empty if nothing is
        near. What is written almost like it comes first, then what it is elsewhere."""
        near = [difflib.get_close_matches(word, known, n=1, cutoff=each) for each in (0.8, 0.6)]
        same, alike = (f"did you mean {found[0]!r}?" if found else "" for found in near)
        return same or self.elsewhere(f"--{word.lstrip('-')}") or alike
