"""What a run, marking it again and comparing two runs cost by number of replies.

    python -m benchmarks.scale [--sizes 10000,100000,1000000] [--name scale]

The commands are those of users: ``run`` twice, with two models that err at different questions,
``mark`` and ``compare``. The task is that of
``benchmarks.overhead``. Each command is a process of its own with one thread; the table gives
processor time and peak memory, and what both grow by for each sample beyond the smallest size.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import parsing
from benchmarks.overhead import Cost, cost, ours

GOAL = 0.18  # ms a reply


def measured(folder: Path, count: int, environment: dict[str, str]) -> dict[str, Cost]:
    """The cost of each command at ``count`` samples."""
    program = [sys.executable, "-m", "harmon_eval"]
    runs = [str(folder / f"{name}{count}") for name in "ab"]
    own = {**environment, "OVERHEAD_N": str(count)}

    def run(model: str, output: str) -> list[str]:
        return [*program, "--model", model, "--tasks", "overhead", "--output", output]

    steps = {
        "run": run("erring:7", runs[0]),
        "run, the other model": run("erring:5", runs[1]),
        "mark": [*program, "mark", runs[0], "--tasks", "overhead"],
        "compare": [*program, "compare", *runs],
    }
    found = {}
    for name, command in steps.items():
        # A worse candidate ends with 1, which is no failure here.
        found[name] = cost(command, folder, (0, 1) if name == "compare" else (0,), **own)
        print(line(f"{name}, {count:,}", found[name]), flush=True)
    return found


def line(name: str, spent: Cost) -> str:
    return f"| {name} | {spent.cpu:.2f} s | {spent.wall:.1f} s | {spent.memory:.0f} MB |"


def growth(small: Cost, large: Cost, samples: int) -> dict[str, float]:
    """Milliseconds and bytes for each of the further ``samples``."""
    return {
        "ms a sample": (large.cpu - small.cpu) / samples * 1000,
        "bytes a sample": (large.memory - small.memory) * 2**20 / samples,
    }


def main() -> None:
    parser = parsing.Parser("scale", __doc__)
    parser.add_argument("--sizes", type=parsing.numbers, default="10000,100000", metavar="N,M")
    parser.add_argument("--name", default="scale", help="of the JSON (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    arguments = parser.parse_args()
    sizes = sorted(arguments.sizes)
    print("| command, samples | processor time | wall | peak memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        environment = ours(Path(name))
        found = {n: measured(Path(name), n, environment) for n in sizes}
    small, large = sizes[0], sizes[-1]
    print("\n| command | ms a further sample | bytes a further sample |\n|---|---|---|")
    grown = {}
    for step in found[small] if large > small else ():
        grown[step] = growth(found[small][step], found[large][step], large - small)
        print("| {} | {:.3f} | {:.0f} |".format(step, *grown[step].values()))
    # It imports torch, and Linux counts a parent's memory as the peak of its children.
    from benchmarks import record

    ratios = {
        f"{step}: 0.18 ms, the goal": GOAL / own["ms a sample"] for step, own in grown.items()
    }
    kept = {
        "load average": os.getloadavg(),
        "by samples": {
            n: {step: vars(own) for step, own in steps.items()} for n, steps in found.items()
        },
        "growth": grown,
    }
    record.write(arguments.name, ratios, kept, arguments.results.resolve())


if __name__ == "__main__":
    main()
