"""What a user waits for at the start: processor time and memory of each command's first answer.

    python -m benchmarks.start

Each command runs ``--repeats`` times in a fresh process, after one run that writes Python's
bytecode into a folder of its own. The best is kept: whatever else runs on the machine only adds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import record

# A small process in between, because Linux counts a parent's memory as the peak of its children.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, code)
"""

# Goals in seconds of processor time, where there is one.
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "python alone": (["-c", "pass"], None),
    "import torch": (["-c", "import torch"], None),
    "--help": (["-m", "harmon_eval", "--help"], None),
    "list": (["-m", "harmon_eval", "list"], 0.4),
    "open harmon-mini": (
        ["-c", "from harmon_eval.model.checkpoint import load; load('harmon-mini')"],
        None,
    ),
    "run --tasks geneval --limit 1": (
        ["-m", "harmon_eval", "--tasks", "geneval", "--limit", "1", "--output"],
        None,
    ),
    "the same, drawing only": (
        ["-m", "harmon_eval", "--tasks", "geneval", "--limit", "1", "--predict-only", "--output"],
        5.0,
    ),
}


def spent(arguments: list[str], cache: Path) -> dict[str, float]:
    """Processor seconds and peak bytes of one run, its children included."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(cache), "OMP_NUM_THREADS": "1"}
    if arguments[-1] == "--output":
        shutil.rmtree(cache / "run", ignore_errors=True)
        arguments = [*arguments, str(cache / "run")]
    command = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, peak, code = map(float, done.stdout.split())
    if code:
        raise SystemExit(f"{' '.join(arguments)} ended with {code:g}: {done.stderr[-300:]}")
    return {"seconds": seconds, "peak MB": peak / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    ratios = {}
    with TemporaryDirectory() as folder:
        for name, (command, goal) in COMMANDS.items():
            spent(command, Path(folder))
            runs = [spent(command, Path(folder)) for _ in range(arguments.repeats)]
            found[name] = min(runs, key=lambda run: run["seconds"])
            line = f"{name:32} {found[name]['seconds']:6.2f} s {found[name]['peak MB']:6.0f} MB"
            if goal is not None:
                ratios[f"{name}: goal / seconds"] = goal / found[name]["seconds"]
                line += f"   goal {goal:g} s"
            print(line, flush=True)
    measured: dict[str, Any] = {"load average": os.getloadavg(), "commands": found}
    record.write("start", ratios, measured, arguments.results)


if __name__ == "__main__":
    main()
