"""All ratios of this machine in one table: ``make bench``, under 20 minutes on two quiet cores.

    python -m benchmarks [--only start,fid] [--peers PYTHON] [--results FOLDER]

Each benchmark runs in a process of its own with one thread and writes its JSON. A ratio divides
what the reference takes by what ours takes in the same run, so above 1 ours is better. With
``--peers`` (see ``benchmarks.overhead``) other harnesses run as well. Exit code 1 if one failed.

MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 takes the AVX2 paths
of a processor that has more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import parsing

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Part:
    """A benchmark, the name of its JSON, and what its ratios divide."""

    command: str
    file: str
    against: str


PARTS = {
    "start": Part("start --repeats 2", "start", "goal / ours"),
    "loading": Part("loading --size 0.5b", "loading-0.5b", "reading the file once / ours"),
    "summarize": Part("summarize", "summarize", "a sample of few / of ten times as many"),
    "sampling": Part(
        "sampling --size mini --image-size 64 --head", "sampling-mini", "plain loop / ours"
    ),
    "distilled": Part("distilled --repeats 3", "distilled", "slower / faster"),
    "understanding": Part("understanding --repeats 1", "understanding", "one by one / batches"),
    "fid": Part("fid --images 16 --repeats 1 --cores 1", "fid", "peer / ours"),
    "overhead": Part("overhead --largest 11000", "overhead", "peer / ours"),
}


def run(part: Part, arguments: argparse.Namespace) -> str:
    """What went wrong; empty if nothing did."""
    module, *options = part.command.split()
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    command += ["--results", str(arguments.results)]
    if part.file == "overhead" and arguments.peers:
        command += ["--peers", arguments.peers]
    start = time.monotonic()
    code = subprocess.call(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    print(f"{part.file}: {time.monotonic() - start:.0f} s\n", flush=True)
    return f"{part.file} ended with {code}" if code else ""


def table(names: list[str], folder: Path) -> str:
    """The ratios of the benchmarks that were written, one a line."""
    lines = []
    for name in names:
        file = folder / f"{PARTS[name].file}.json"
        if not file.exists():
            continue
        found = json.loads(file.read_text())
        machine = found["machine"]
        lines.append(
            f"{name} ({PARTS[name].against}), {machine['processor']}, "
            f"{machine['vector instructions']}, {found['date']}"
        )
        lines += [f"  {ratio:8.2f}  {label}" for label, ratio in found["ratios"].items()]
    return "\n".join(lines)


def main() -> int:
    parser = parsing.Parser("", __doc__)
    parser.add_argument("--only", metavar="A,B", default=",".join(PARTS), help="of: %(default)s")
    parser.add_argument("--peers", metavar="PYTHON", help="Python of an environment with the peers")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"no benchmark {unknown[0]!r}: choose from {', '.join(PARTS)}")
    arguments.results = arguments.results.resolve()
    failed = [problem for name in names if (problem := run(PARTS[name], arguments))]
    print("\n".join([table(names, arguments.results), *failed]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
