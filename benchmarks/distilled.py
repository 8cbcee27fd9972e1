"""How fast ``--fast`` draws with harmon-mini, whose distilled weights it takes.

    python -m benchmarks.distilled --batch 1,16

In turn in one process: all its iterations and steps, the preset that models without such weights
get, and ``--fast``; then the full setting beside the plain loop (``benchmarks/release.py``).
What it costs in GenEval and FID: docs/speed.md.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from benchmarks import parsing, record
from benchmarks.sampling import one_batch
from harmon_eval.model.checkpoint import load
from harmon_eval.model.sampling import FAST

PLAIN, FULL, PRESET, DISTILLED = "plain loop", "full", "preset", "--fast"


def seconds_an_image(batch: int, repeats: int) -> dict[str, float]:
    """Processor time of each way to draw."""
    own, distilled = load("harmon-mini"), load("harmon-mini", fast=True)
    ways = {
        FULL: (own, own.draw_settings),
        PRESET: (own, FAST.than(own.draw_settings)),
        DISTILLED: (distilled, distilled.draw_settings),
    }
    prompts = ["a photo of a red circle"] * batch
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (loaded, how) in ways.items():
            start = time.process_time()
            loaded.pipeline.draw(prompts, range(batch), how)
            spent[name].append((time.process_time() - start) / batch)
    found = {name: median(values) for name, values in spent.items()}
    how = replace(own.draw_settings, image_size=own.pipeline.model.config.image_size)
    plain = one_batch(own.pipeline.model, batch, how, repeats, captured=False)["ratio"]
    return {PLAIN: found[FULL] * plain, **found}


def main() -> None:
    parser = parsing.Parser("distilled", __doc__)
    parser.add_argument("--batch", type=parsing.numbers, default="1,16", metavar="A,B")
    parser.add_argument("--repeats", type=parsing.number, default=5, metavar="N")
    parser.add_argument("--results", type=Path, default=record.RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, float] = {}
    found: dict[int, dict[str, float]] = {}
    for batch in arguments.batch:
        seconds = found[batch] = seconds_an_image(batch, arguments.repeats)
        print(f"batch {batch}")
        for name, each in seconds.items():
            print(
                f"{name:<10} {each:.3f} s an image, {seconds[PLAIN] / each:.2f}x the plain loop, "
                f"{seconds[FULL] / each:.2f}x full"
            )
        for slower in (PLAIN, FULL):
            ratios[f"{slower} / --fast, batch {batch}"] = seconds[slower] / seconds[DISTILLED]
    measured = {"settings": record.settings(arguments), "seconds": found}
    record.write("distilled", ratios, measured, arguments.results)


if __name__ == "__main__":
    main()
