"""Write one HTML file about a run: scores, plots, every image and reply, provenance."""

from __future__ import annotations

import argparse
from pathlib import Path

from harmon_eval.commands import _options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="OTHER",
        help="another run to show beside it; can be given several times",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: RUN/report.html")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="benchmark data (default: that of the run)"
    )
    parser.add_argument(
        "--published",
        type=Path,
        metavar="CSV",
        help="use these published results instead of the package's; the columns are model, task, "
        "metric, value, source",
    )
    parser.add_argument(
        "--baselines",
        default="",
        metavar="A,B",
        help="published models to plot beside the run, such as janus",
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="metrics over training steps: Parquet or CSV with the columns step, "
        "task, metric, value, and low and high for intervals",
    )
    parser.add_argument(
        "--items",
        type=int,
        default=3000,
        metavar="N",
        help="largest number of samples in the gallery (default: %(default)s); a larger run "
        "shows changed samples first, then random ones",
    )
    parser.add_argument(
        "--thumbnail",
        type=int,
        default=224,
        metavar="PX",
        help="longest side of an image on the page, in pixels (default: %(default)s)",
    )

    parser.add_argument(
        "--full-size",
        type=float,
        default=20.0,
        metavar="MB",
        help="how much larger the page may get by images in full size, those of changed and wrong "
        "samples first (default: %(default)g)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError if a path is not a run folder or cannot be read."""
    from harmon_eval.core import UserError
    from harmon_eval.report.page import Contents, write
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.redact import printable

    if arguments.items < 0 or arguments.thumbnail < 16:
        raise UserError("--items must be at least 0, and --thumbnail at least 16 pixels")
    if not 0 <= arguments.full_size < 4000:
        raise UserError("--full-size must be at least 0 and below 4000 MB")
    contents = Contents(
        run=arguments.run,
        against=tuple(arguments.against),
        data=arguments.data,
        published=arguments.published,
        baselines=arguments.baselines,
        history=arguments.history,
        items=arguments.items,
        side=arguments.thumbnail,
        full=int(arguments.full_size * 1e6),
        command=_options.for_manifest("report", add_arguments, arguments)["line"],
    )
    output = arguments.output or arguments.run / "report.html"
    write(contents, output)
    console = open_console()
    console.print(f"report: {printable(output)}", soft_wrap=True, highlight=False)
    return 0
