"""Print what completes commands, options and names in bash, zsh or tcsh."""

from __future__ import annotations

import argparse
from pathlib import Path

SHELLS = ("bash", "zsh", "tcsh")
FILES = ("CSV", "FILE", "FILE.toml", "PATH", "TABLE")
RUNS = ("A", "B")  # of compare; elsewhere an A is a task
FOLDERS = ("DIR", "FOLDER", "NAME|RUN", "OTHER", "RUN")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell",
        choices=SHELLS,
        help='bash: add `eval "$(harmon-eval completion bash)"` to ~/.bashrc; zsh: write it into a '
        "file _harmon-eval in a folder of $fpath",
    )


def main(arguments: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(whole_parser(), arguments.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """All commands with their options as one parser, as shells are told of it."""
    from harmon_eval import cli, registry

    names = {
        "tasks": registry.task_names(),
        "model": registry.model_names(),
        "suite": ["mini", "official", "real"],
    }
    whole = argparse.ArgumentParser(
        prog="harmon-eval", parents=[cli.parser_of("run")], add_help=False
    )
    places = whole.add_subparsers()
    parsers = [whole]
    for command, text in cli.COMMANDS.items():
        own = cli.parser_of(command)
        parsers.append(places.add_parser(command, parents=[own], add_help=False, help=text))
    for action in (action for parser in parsers for action in parser._actions):
        _complete(action, names.get(action.dest))
    return whole


def _complete(action: argparse.Action, names: list[str] | None) -> None:
    import shtab

    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if names and action.choices is None:
        action.choices = names
    elif metavar in FILES:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif metavar in FOLDERS or (metavar in RUNS and action.type is Path):
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
