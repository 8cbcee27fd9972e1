"""What adding marks up costs by number of samples: metrics, intervals, comparing two runs.

    python -m benchmarks.summarize --sizes 10000,100000

The rows are made up, in the form of GenEval's, four images a prompt. GenEval's metrics are means of
marks. ``no mean`` stands for metrics such as F1, whose comparison leaves out a part of the prompts
at a time; ``--means`` does without it. Each size runs in a fresh process; the peak is beyond what
imports and rows take (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import parsing, record
from benchmarks.loading import memory
from harmon_eval import registry
from harmon_eval.comparing.paired import differences
from harmon_eval.core import Metric
from harmon_eval.metrics.intervals import intervals

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
IMAGES = 4  # a prompt


def rows(count: int, seed: int, share: float) -> pd.DataFrame:
    """Marks of ``count`` images, right with probability ``share``, and the texts beside them."""
    groups = np.arange(count) // IMAGES
    tags = [TAGS[group % len(TAGS)] for group in groups]
    return pd.DataFrame(
        {
            "id": [f"{group:06d}/{k % IMAGES}" for k, group in enumerate(groups)],
            "group": [f"{group:06d}" for group in groups],
            "stratum": tags,
            "tag": tags,
            "correct": np.random.default_rng(seed).random(count) < share,
            "prompt": [f"a photo of thing number {group}" for group in groups],
            "reason": "expected one of them, found none",
        }
    )


def f1(table: pd.DataFrame) -> dict[str, float]:
    """The harmonic mean of two shares: a function of the rows that is no mean."""
    easy = table["tag"].isin(TAGS[:3]).to_numpy()
    marks = table["correct"].to_numpy(float)
    first, second = marks[easy].mean(), marks[~easy].mean()
    return {"f1": float(2 * first * second / (first + second))}


def measured(count: int, only_means: bool) -> dict[str, dict[str, float]]:
    """Processor seconds and peak of each step."""
    geneval = registry.task("geneval")
    other = replace(geneval, summarize=f1, metrics=(Metric("f1", headline=True),))
    first, second = rows(count, 1, 0.7), rows(count, 2, 0.72)
    means = frozenset(n for n in geneval.summarize(first) if geneval.metric(n).interval)
    steps: dict[str, Callable[[], object]] = {
        "metrics": lambda: geneval.summarize(first),
        "intervals": lambda: intervals(geneval, first),
        "compare": lambda: differences(geneval, first, second, means),
        "compare, no mean": lambda: differences(other, first, second, frozenset({"f1"})),
    }
    if only_means:
        del steps["compare, no mean"]
    found = {}
    for name, step in steps.items():
        Path("/proc/self/clear_refs").write_text("5")
        before, start = memory("VmRSS"), time.process_time()
        step()
        seconds = time.process_time() - start
        found[name] = {"seconds": seconds, "peak MB": (memory("VmHWM") - before) / 2**20}
    return found


def main() -> None:
    parser = parsing.Parser("summarize", __doc__)
    parser.add_argument("--sizes", type=parsing.numbers, default="10000,100000", metavar="N,M")
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    parser.add_argument("--means", action="store_true", help="without a metric that is no mean")
    parser.add_argument("--count", type=parsing.number, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.count:
        print(json.dumps(measured(arguments.count, arguments.means)))
        return
    found = {}
    for size in arguments.sizes:
        command = [sys.executable, "-m", "benchmarks.summarize", "--count", str(size)]
        command += ["--means"] * arguments.means
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[size] = json.loads(done.stdout.splitlines()[-1])
        for name, step in found[size].items():
            print(f"{size:9,} {name:20} {step['seconds']:7.2f} s {step['peak MB']:7.0f} MB")
    small, large = min(found), max(found)
    ratios = {
        f"{name}: seconds a sample, {small} / {large}": (found[small][name]["seconds"] / small)
        / (found[large][name]["seconds"] / large)
        for name in found[large]
    }
    kept = {"load average": os.getloadavg(), "by samples": found}
    name = "summarize-means" if arguments.means else "summarize"
    record.write(name, ratios, kept, arguments.results)


if __name__ == "__main__":
    main()
