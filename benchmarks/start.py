"""What a user waits for at the start: a run's first line, and each command's first answer.

    python -m benchmarks.start

Each command runs ``--repeats`` times in a fresh process, after one run that writes Python's
bytecode into a folder of its own. The best is kept: whatever else runs on the machine only adds.
Answers are measured in processor time and memory, the first line also in time by the clock.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import parsing, record

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


FIRST_LINE = 0.5  # seconds by the clock


def _environment(cache: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(cache), "OMP_NUM_THREADS": "1"}


def first_line(cache: Path) -> dict[str, float]:
    """Seconds until a run says what it loads, by the clock and of the processor."""
    command = [sys.executable, "-m", "harmon_eval", "--limit", "1", "--output", str(cache / "run")]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(
        command, env=_environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as run:
        assert run.stderr is not None
        said = run.stderr.readline()
        seconds = time.perf_counter() - start
        run.kill()
    if not said.startswith(b"harmon_eval"):
        raise SystemExit(f"a run began with {said!r}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"by the clock": seconds, "processor": used}


def spent(arguments: list[str], cache: Path) -> dict[str, float]:
    """Processor seconds and peak bytes of one run, its children included."""
    if arguments[-1] == "--output":
        shutil.rmtree(cache / "run", ignore_errors=True)
        arguments = [*arguments, str(cache / "run")]
    command = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, *arguments]
    done = subprocess.run(
        command, env=_environment(cache), capture_output=True, text=True, check=True
    )
    seconds, peak, code = map(float, done.stdout.split())
    if code:
        raise SystemExit(f"{' '.join(arguments)} ended with {code:g}: {done.stderr[-300:]}")
    return {"seconds": seconds, "peak MB": peak / 1024}


def main() -> None:
    parser = parsing.Parser("start", __doc__)
    parser.add_argument("--repeats", type=parsing.number, default=3)
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    ratios = {}
    with TemporaryDirectory() as folder:
        first_line(Path(folder))
        lines = [first_line(Path(folder)) for _ in range(max(10, arguments.repeats))]
        told = {name: min(line[name] for line in lines) for name in lines[0]}
        ratios["first line: goal / seconds"] = FIRST_LINE / told["by the clock"]
        print(
            f"{'first line of a run':32} {told['by the clock']:6.2f} s by the clock, "
            f"{told['processor']:.2f} s of the processor   goal {FIRST_LINE:g} s"
        )
        for name, (command, goal) in COMMANDS.items():
            spent(command, Path(folder))
            runs = [spent(command, Path(folder)) for _ in range(arguments.repeats)]
            found[name] = min(runs, key=lambda run: run["seconds"])
            line = f"{name:32} {found[name]['seconds']:6.2f} s {found[name]['peak MB']:6.0f} MB"
            if goal is not None:
                ratios[f"{name}: goal / seconds"] = goal / found[name]["seconds"]
                line += f"   goal {goal:g} s"
            print(line, flush=True)
    measured: dict[str, Any] = {
        "load average": os.getloadavg(),
        "first line": told,
        "commands": found,
    }
    record.write("start", ratios, measured, arguments.results)


if __name__ == "__main__":
    main()
