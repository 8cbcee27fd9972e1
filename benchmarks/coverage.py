"""How often do the 95 % intervals hold the true value? By task, at every size that people run.

    python -m benchmarks.coverage                 # everything; half an hour on one core
    python -m benchmarks.coverage --only geneval  # tasks with this in their name
    python -m benchmarks.coverage --size limit    # sizes with this in their name

Each trial draws the marks of a run from a model whose true score is known (``coverage_models``) and
calls the product's ``metrics.intervals.intervals``. A run takes ``limit`` groups from the strata in
turn, as ``--limit`` does. Writes ``results/coverage.json`` and the table in docs/statistics.md.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import parsing, record
from benchmarks.coverage_models import BENCHMARKS, Benchmark, Sizes
from harmon_eval import registry
from harmon_eval.metrics.intervals import intervals

DOCS = Path(__file__).parents[1] / "docs/statistics.md"
TRIALS = 300
AIM = (0.93, 0.97)
SETS = "FID and KID compare two sets of images: benchmarks/coverage_fid.py"
ELSEWHERE = {  # tasks that are simulated by another benchmark, and why
    **dict.fromkeys(("mjhq", "mjhq_gigagan256", "mjhq_pytorch_fid", "coco_fid"), SETS),
    "fidelity": f"{SETS}, against one fixed set of references",
}


def measure(bench: Benchmark, size: str, sizes: Sizes, strong: bool, trials: int) -> list[Any]:
    """Coverage and mean width of each metric: one row a metric."""
    name = f"{bench.task}, {size}, {'close to the maximum' if strong else 'middling'}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    task = registry.task(bench.task)
    inside: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for _ in range(trials):
        rows, truth = bench.draw(rng, sizes, strong)
        found = intervals(task, rows, wanted=truth.keys())
        for metric, value in truth.items():
            if (span := found.get(metric)) is not None:
                top = task.metric(metric).maximum or 1.0
                inside.setdefault(metric, []).append(span[0] - 1e-9 <= value <= span[1] + 1e-9)
                widths.setdefault(metric, []).append((span[1] - span[0]) / top)
    return [
        {
            "task": bench.task,
            "size": size,
            "groups": sum(sizes.values()),
            "model": "strong" if strong else "middling",
            "metric": metric,
            "trials": len(own),
            "coverage": float(np.mean(own)),
            "width": float(np.mean(widths[metric])),
        }
        for metric, own in inside.items()
        if len(own) >= trials / 6  # phi of a model that is nearly always right has hardly any
    ]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each metric and size, the two models side by side."""
    lines = [
        "| task | metric | size | groups | middling: coverage | width | strong: coverage | width |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["task"], row["metric"], row["size"], row["groups"])
        by.setdefault(key, {})[row["model"]] = row
    for (task, metric, size, groups), pair in by.items():
        cells = [
            f"{pair[model]['coverage']:.3f} | {pair[model]['width']:.3f}"
            if model in pair
            else " | "
            for model in ("middling", "strong")
        ]
        lines.append(f"| {task} | {metric} | {size} | {groups} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many figures lie below, within and above what is aimed at, and which are below."""
    lines = []
    for kind, wanted in (("headlines", True), ("parts", False)):
        own = [
            row for row in rows if registry.task(row["task"]).main.names(row["metric"]) == wanted
        ]
        low = [row for row in own if row["coverage"] < AIM[0]]
        high = sum(row["coverage"] > AIM[1] for row in own)
        told = ", ".join(
            f"{row['task']} {row['metric']} {row['size']} {row['coverage']:.3f}" for row in low
        )
        lines.append(
            f"- Of {len(own)} figures of {kind}, {len(own) - len(low) - high} lie from {AIM[0]} to "
            f"{AIM[1]}, {high} above and {len(low)} below{': ' * bool(low)}{told}."
        )
    return "\n".join(lines)


def main() -> None:
    parser = parsing.Parser("coverage", __doc__)
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only tasks with this in the name"
    )
    parser.add_argument("--size", default="", metavar="TEXT", help="only sizes with this in theirs")
    parser.add_argument("--trials", type=parsing.number, default=TRIALS)
    parser.add_argument(
        "--missing", action="store_true", help="only what was not yet measured with so many trials"
    )
    arguments = parser.parse_args()
    for bench in BENCHMARKS:
        if arguments.only not in bench.task:
            continue
        for size, sizes in bench.settings():
            if arguments.size in size and not (
                arguments.missing and known(bench.task, size, sizes, arguments.trials)
            ):
                start = time.process_time()
                found = [
                    row
                    for strong in (False, True)
                    for row in measure(bench, size, sizes, strong, arguments.trials)
                ]
                keep(bench.task, size, found)
                print(markdown(found), f"\n{time.process_time() - start:.0f} s", flush=True)
    text = f"\n{summary(measured())}\n\n{markdown(measured())}\n\n"
    marks = r"(?<=<!-- coverage -->\n).*(?=<!-- /coverage -->)"
    DOCS.write_text(re.sub(marks, lambda _: text, DOCS.read_text(), flags=re.DOTALL))


def measured() -> list[dict[str, Any]]:
    """What is on record, of the settings that there still are."""
    file = record.RESULTS / "coverage.json"
    rows = json.loads(file.read_text())["measured"]["settings"] if file.exists() else []
    there = {(bench.task, size) for bench in BENCHMARKS for size, _ in bench.settings()}
    return in_order([row for row in rows if (row["task"], row["size"]) in there])


def known(task: str, size: str, sizes: Sizes, trials: int) -> bool:
    """Whether a setting is on record with as many groups and, of one metric, as many trials."""
    own = [row for row in measured() if (row["task"], row["size"]) == (task, size)]
    return any(row["trials"] >= trials and row["groups"] == sum(sizes.values()) for row in own)


def keep(task: str, size: str, found: Sequence[dict[str, Any]]) -> None:
    """One setting at a time, so that a stop loses no other."""
    others = [row for row in measured() if (row["task"], row["size"]) != (task, size)]
    record.write("coverage", {}, {"settings": in_order([*others, *found])})


def in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By task and size as they are declared; metrics as they came."""
    places = [(bench.task, size) for bench in BENCHMARKS for size, _ in bench.settings()]
    return sorted(rows, key=lambda row: places.index((row["task"], row["size"])))


if __name__ == "__main__":
    main()
