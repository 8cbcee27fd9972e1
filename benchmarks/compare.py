"""Check whether a benchmark's ratios fell.

    python -m benchmarks.compare BEFORE.json AFTER.json [--margin 0.1]

Each ratio compares two things timed in the same run, so with care ratios can be compared between
machines; a line says if the machines differ. The exit code is 1 if a ratio fell by more than the
margin or is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import parsing
from harmon_eval.core import UserError


def fallen(before: Mapping[str, float], after: Mapping[str, float], margin: float) -> list[str]:
    """Names of ratios that are missing, or lower than before by more than ``margin`` (a share)."""
    return [
        name
        for name, ratio in before.items()
        if name not in after or after[name] < ratio * (1 - margin)
    ]


def read(path: Path) -> dict[str, Any]:
    """What a benchmark wrote. Raises UserError for another file."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        {name: float(ratio) for name, ratio in found["ratios"].items()}, found["machine"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "it lacks ratios and machine"
        raise UserError(f"{path} is no JSON of a benchmark ({reason})") from None
    return found


def main(argv: list[str] | None = None) -> int:
    parser = parsing.Parser("compare", __doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--margin", type=float, default=0.1, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.margin < 1:
        parser.error(f"--margin is a share from 0 to 1, not {arguments.margin:g}")
    try:
        before, after = read(arguments.before), read(arguments.after)
    except UserError as error:
        parser.error(str(error))
    if before["machine"] != after["machine"]:
        print(f"other machine: {before['machine']} -> {after['machine']}")
    lower = fallen(before["ratios"], after["ratios"], arguments.margin)
    for name, ratio in before["ratios"].items():
        now = after["ratios"].get(name)
        verdict = "FELL" if name in lower else "holds"
        print(f"{verdict:<5} {name}: {ratio:.2f} -> {'gone' if now is None else f'{now:.2f}'}")
    return 1 if lower else 0


if __name__ == "__main__":
    sys.exit(main())
