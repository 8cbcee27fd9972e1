"""Several runs in one Markdown table."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write, not print")


def main(arguments: argparse.Namespace) -> int:
    from harmon_eval.leaderboard import markdown
    from harmon_eval.store import RunFolder, write_whole

    text = markdown([RunFolder(path) for path in arguments.runs])
    if arguments.output:
        write_whole(arguments.output, text)
    else:
        print(text, end="")
    return 0
