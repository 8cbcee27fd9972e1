"""What workers on Ray cost and bring, and what storing beside the model brings.

    python -m benchmarks.workers [--largest 100000]

Every row is a process of its own, with one thread. The model is a stand-in for one on a GPU: it
waits for so many seconds a batch of 32 and gives the same 512 x 512 noise, or a reply, each time.
Costs are processor seconds of the writer and of all its workers and Ray's own processes together;
those of a batch are the slope between two sizes, so that the start does not count. Wall times are
of a machine that others use too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import overhead, parsing, record

BATCH = 32
PROGRAM = """
import contextlib, json, os, resource, sys, time
from pathlib import Path
from harmon_eval.running import asking, engine, evaluate
given = json.loads(sys.argv[1])

def spent():
    \"\"\"Processor seconds of this process and of those below it that are still there.\"\"\"
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            seconds[int(stat.parent.name)] = sum(map(int, fields[11:15]))
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(seconds[pid] for pid in below) / os.sysconf("SC_CLK_TCK")

@contextlib.contextmanager
def inline():
    yield lambda recording: recording()

if not given["beside"]:
    asking._storing = inline
opened = engine.opened
@contextlib.contextmanager
def measured(*arguments):
    with opened(*arguments) as made:
        begun = time.monotonic()
        yield made
        used = resource.getrusage(resource.RUSAGE_SELF)
        peak = Path("/proc/self/status").read_text()
        found = {
            "wall": time.monotonic() - begun,
            "writer": used.ru_utime + used.ru_stime,
            "all": spent(),
            "memory": int(peak.split("VmHWM:")[1].split()[0]) / 1024,
        }
        Path(given["output"] + ".json").write_text(json.dumps(found))
engine.opened = measured
evaluate.run(
    evaluate.Request(
        model=f"large:{given['seconds']}",
        tasks="overhead",
        output=Path(given["output"]),
        predict_only=given["predict_only"],
        pool=engine.Pool(given["workers"]),
    )
)
"""


def run(
    folder: Path,
    n: int,
    workers: int = 0,
    draw: bool = False,
    seconds: float = 0.0,
    beside: bool = True,
) -> dict[str, float]:
    """One run over ``n`` samples; wall and processor seconds, and the writer's peak memory in MB.

    Images are only drawn and stored, replies are marked too."""
    output = Path(tempfile.mkdtemp(dir=folder)) / "run"
    given = {
        "output": str(output),
        "seconds": seconds,
        "workers": workers or None,
        "beside": beside,
        "predict_only": draw,
    }
    environment = {
        **os.environ,
        **overhead.ours(output.parent),
        "OMP_NUM_THREADS": "1",
        "OVERHEAD_N": str(n),
        "OVERHEAD_DRAW": "1" if draw else "",
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps(given)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(output.with_suffix(".json").read_text())
    return found


def a_batch(small: dict[str, float], large: dict[str, float], batches: float) -> dict[str, float]:
    """Milliseconds a batch, by the slope."""
    return {k: (large[k] - small[k]) / batches * 1000 for k in ("wall", "writer", "all")}


def costs(folder: Path) -> dict[str, Any]:
    """Of a batch, by what is answered and the number of workers."""
    print("\n| a batch of 32 | workers | writer | all processes |\n|---|---|---|---|")
    found: dict[str, Any] = {}
    for kind, draw, sizes in (("replies", False, (1024, 9216)), ("512 px images", True, (64, 704))):
        for workers in (0, 1, 2):
            both = [run(folder, n, workers, draw) for n in sizes]
            one = a_batch(both[0], both[1], (sizes[1] - sizes[0]) / BATCH)
            found[f"{kind}, {workers} workers"] = one
            cells = f"{one['writer']:.1f} ms | {one['all']:.1f} ms"
            print(f"| {kind} | {workers or 'none'} | {cells} |", flush=True)
    return found


def throughput(folder: Path) -> dict[str, Any]:
    """Batches of images a second of a model that takes a second for each."""
    print("\n| workers | storing | a batch of 32 images, wall |\n|---|---|---|")
    found: dict[str, Any] = {}
    for workers, beside in ((0, False), (0, True), (1, True), (2, True)):
        both = [run(folder, n * BATCH, workers, True, 1.0, beside) for n in (2, 14)]
        found[f"{workers} workers, {'beside' if beside else 'after'} the model"] = one = a_batch(
            both[0], both[1], 12
        )
        how = "beside the model" if beside else "after the model"
        print(f"| {workers or 'none'} | {how} | {one['wall'] / 1000:.2f} s |", flush=True)
    return found


def memory(folder: Path, largest: int) -> dict[str, Any]:
    """Peak of the writer by the number of replies."""
    print("\n| replies | writer's peak memory, 2 workers |\n|---|---|")
    found = {}
    for n in (1000, 10_000, largest):
        found[str(n)] = run(folder, n, 2)
        print(f"| {n:,} | {found[str(n)]['memory']:.0f} MB |", flush=True)
    return found


def main() -> None:
    parser = parsing.Parser("workers", __doc__)
    parser.add_argument("--largest", type=parsing.number, default=100_000, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "throughput": throughput(folder),
            "costs": costs(folder),
            "memory": memory(folder, arguments.largest),
        }
    walls = {name: one["wall"] for name, one in found["throughput"].items()}
    alone = walls["0 workers, beside the model"]
    ratios = {
        "storing beside the model": walls["0 workers, after the model"] / alone,
        "2 workers": walls["1 workers, beside the model"] / walls["2 workers, beside the model"],
    }
    print(f"\n{record.write('workers', ratios, found)}")


if __name__ == "__main__":
    main()
