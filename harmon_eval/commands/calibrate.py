"""Compare a run's marks with people's, and correct its headline by them."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder with marks by `label`")
    parser.add_argument("--task", metavar="A", help="default: the only task of the run")
    parser.add_argument(
        "--against", type=Path, metavar="RUN", help="read the marks of pairs with this run"
    )
    parser.add_argument("--scale", default="", metavar="1-5", help="if marks have several scales")
    parser.add_argument("--data", type=Path, metavar="DIR", help="default: that of the run")
    parser.add_argument(
        "--sheet",
        type=int,
        metavar="N",
        help="write N samples, at random, into the table --human, for people to mark; the page of "
        "`label` does the same without a table",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random choice")
    parser.add_argument(
        "--human", type=Path, metavar="FILE.csv", help="read marks from the filled table, first"
    )


def main(arguments: argparse.Namespace) -> int:
    """Raises UserError for a run without marks by people."""
    if (arguments.sheet is not None or arguments.human) and not _of_sheet(arguments):
        return 0
    return _calibrated(arguments)


def _of_sheet(arguments: argparse.Namespace) -> bool:
    """Write the table, or read it. Whether there is something to calibrate then."""
    from harmon_eval.core import UserError
    from harmon_eval.metrics.text import counted
    from harmon_eval.people import sheets

    run, task, file = arguments.run, arguments.task, arguments.human
    if file is None or arguments.against:
        raise UserError("give --human FILE.csv with --sheet, and no --against")
    if arguments.sheet is None:
        new = sheets.read(run, task, file, arguments.scale, arguments.data)
        print(f"{counted(new, 'new mark')} read from {file}")
        return True
    if arguments.sheet < 1 or arguments.seed < 0:
        raise UserError("--sheet must be at least 1 and --seed at least 0")
    count = sheets.write(
        run, task, file, arguments.sheet, arguments.seed, arguments.scale, arguments.data
    )
    keys = "1 (right) or 0 (wrong)" if not arguments.scale else arguments.scale
    print(
        f"{file}: {counted(count, 'sample')} to mark; write {keys} into the column mark, then the "
        "same command without --sheet reads them"
    )
    return False


def _calibrated(arguments: argparse.Namespace) -> int:
    from harmon_eval.metrics.text import counted, interval, number
    from harmon_eval.people.calibration import calibrate
    from harmon_eval.report.listing import print_rows
    from harmon_eval.running.progress import open_console
    from harmon_eval.store.redact import printable

    found = calibrate(
        arguments.run, arguments.task, arguments.against, arguments.scale, arguments.data
    )
    console = open_console()
    agreed = [
        {
            "measure": row.measure,
            "value": "undefined" if row.value is None else number(row.value, *(row.interval or ())),
            "95 % interval": interval(*(row.interval or (None, None)), row.value),
            "samples": row.n,
        }
        for row in found.agreement
    ]
    raters = ", ".join(found.raters)
    marked = counted(found.marked, "sample")
    print_rows(agreed, f"{found.task}: {marked} marked by {raters}", console)
    numbers = [
        {
            "metric": row.metric,
            "value": number(row.value, *row.interval),
            "95 % interval": interval(*row.interval, row.value),
            "width": number(row.width),
            "from": row.note,
        }
        for row in found.numbers
    ]
    if numbers:
        print_rows(numbers, "corrected by people's marks", console)
    for remark in found.remarks:
        console.print(printable(remark), soft_wrap=True, highlight=False)
    where = f"{arguments.run}/{found.task}/{found.file}"
    console.print(f"written: {printable(where)}", soft_wrap=True, highlight=False)
    return 0
