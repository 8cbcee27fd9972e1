"""Show runs beside published results, in tables like those in papers."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import _options

SUFFIXES = ("md", "csv", "parquet", "tex", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="run folders")
    parser.add_argument(
        "--baselines",
        metavar="A,B|all",
        help="published models to show beside the runs, such as janus,janus-pro-7b,show-o",
    )
    parser.add_argument(
        "--public-weights",
        action="store_true",
        help="only published results whose weights are public",
    )
    parser.add_argument("--tasks", metavar="A,B", help="default: all")
    parser.add_argument("--sort", metavar="TASK|METRIC|model", help="default: the first column")
    parser.add_argument(
        "--all-metrics",
        action="store_true",
        help="print the details of each task too, not only its headline; a file holds them always",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"write a file instead of printing: .{', .'.join(SUFFIXES)}",
    )


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError for a path that is not a run folder, an unknown baseline, task or suffix."""
    import io
    import json

    from harmon_eval.core import UserError
    from harmon_eval.ranking import formats
    from harmon_eval.ranking.entries import entries
    from harmon_eval.ranking.tables import board
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.durable import write_whole
    from harmon_eval.store.tables import defused

    tasks = [name.strip() for name in arguments.tasks.split(",")] if arguments.tasks else None
    tidy = entries(arguments.runs, arguments.baselines, tasks, arguments.public_weights)
    made = board(tidy, arguments.sort)
    if not (output := arguments.output):
        formats.show(made, open_console(), arguments.all_metrics)
        return 0
    suffix = output.suffix.removeprefix(".")
    command = _options.for_manifest("leaderboard", add_arguments, arguments)
    if suffix == "csv":
        write_whole(output, tidy.map(defused).to_csv(index=False))
    elif suffix == "parquet":
        buffer = io.BytesIO()
        typed = tidy.astype({"seed": "Int64", "n": "Int64", "total": "Int64"})
        typed.attrs["command"] = json.loads(json.dumps(command))  # in the file's metadata
        typed.to_parquet(buffer)
        write_whole(output, buffer.getvalue())
    elif suffix in formats.TEXTS:
        write_whole(output, formats.TEXTS[suffix](made, command["line"]))
    else:
        raise UserError(f"--output {output}: the name must end in .{', .'.join(SUFFIXES)}")
    return 0
