"""How fast is a training step, compared with a plain loop written directly from the description?

``python -m benchmarks.training [--steps 10] [--vae harmon-mini]`` trains harmon-mini's sizes on
rendered scenes, alternating one step of the trainer and one of the plain loop. The plain loop
renders and encodes its images again in every step, asks one question per row and waits for its
data. The script prints the ratio, the shares of data, forward, backward and optimizer, and the
memory of each.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks import parsing
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.train.batches import BatchMaker
from harmon_eval.model.train.loop import Training
from harmon_eval.model.train.losses import Losses
from harmon_eval.model.train.reading import load
from harmon_eval.model.train.recipe import Recipe, cycle
from harmon_eval.model.train.start import begin


class PlainLoop:
    """One optimizer, images encoded in every step, one question per row, nothing prefetched."""

    def __init__(self, recipe: Recipe, maker: BatchMaker, model: Harmon) -> None:
        sources = tuple(
            replace(source, cache=False, turns=1, batch=source.batch * rows)
            for source in recipe.sources
            for rows in [1 if source.task == "text2image" else source.turns]
        )
        self.recipe = replace(recipe, sources=sources)
        self.maker = replace(maker, recipe=self.recipe, caches=[None] * len(sources))
        self.losses = Losses(model).train()
        self.parameters = [p for p in self.losses.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, 1e-3)

    def step(self, number: int) -> None:
        for source in cycle(self.recipe, number):
            batch = self.maker.make(source, number, 0)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bf16"):
                loss = self.losses(batch)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


P = ParamSpec("P")
T = TypeVar("T")


class Clock:
    """Counts processor seconds by part."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def timed(self, name: str, call: Callable[P, T]) -> Callable[P, T]:
        def run(*arguments: P.args, **named: P.kwargs) -> T:
            begun = time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begun

        return run


def trainer_step(training: Training, clock: Clock, number: int) -> None:
    make = clock.timed("data", training.feed._make)
    batches, _ = make(number)
    clock.timed("gradients", training.gradients.of)(batches)

    def apply() -> None:
        for stepper in training.steppers:
            stepper.step()
            stepper.zero_grad()
        training.average.update(training.model, number)

    clock.timed("optimizer", apply)()


def chosen_recipe(vae: str, precision: str) -> Recipe:
    """harmon-mini's sizes and batches, with all sources from the first step and few images to
    cache."""
    recipe = load(
        "mini",
        [
            f"start.vae={vae}",
            f"precision={precision}",
            "minutes=0",
            "sources.0.scenes=512",
            "sources.1.scenes=512",
            "sources.0.first_step=0",
            "sources.1.first_step=0",
            "start.unit_latents=64",
        ],
    )
    assert isinstance(recipe, Recipe)
    return recipe


def peak() -> float:
    """Largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def alone(side: str, recipe: Recipe) -> None:
    """Run two steps of one side, and print the peak memory of this process before and after."""
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        accelerator = Accelerator(mixed_precision=recipe.precision, cpu=True)
        training = Training(recipe, Path(folder), accelerator, begin(recipe))
        training.losses.train()
        step: Callable[[int], None] = partial(trainer_step, training, Clock())
        if side == "plain":
            step = PlainLoop(recipe, training.feed.maker, training.losses.model).step
            training.steppers.clear()
            training.average.weights.clear()
        for number in range(2):
            step(number)
        training.close()
    print(f"{before:.3f} {peak():.3f}")


def memory(side: str, options: list[str]) -> tuple[float, float]:
    """(imports, peak) in GiB, measured in a separate process so that the sides do not mix."""
    command = [sys.executable, __file__, "--alone", side, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.splitlines()[-1].split())
    return before, after


def main() -> None:
    parser = parsing.Parser("training", __doc__)
    parser.add_argument("--steps", type=parsing.number, default=10)
    parser.add_argument("--vae", default="harmon-mini")
    parser.add_argument("--precision", default="no")
    parser.add_argument("--alone", choices=("trainer", "plain"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = chosen_recipe(arguments.vae, arguments.precision)
    if arguments.alone:
        alone(arguments.alone, recipe)
        return
    with tempfile.TemporaryDirectory() as folder:
        accelerator = Accelerator(mixed_precision=recipe.precision, cpu=True)
        training = Training(recipe, Path(folder), accelerator, begin(recipe))
        training.losses.train()
        plain = PlainLoop(recipe, training.feed.maker, begin(recipe).model)
        clock = Clock()
        ours: list[float] = []
        theirs: list[float] = []
        accelerator.backward = clock.timed("backward", accelerator.backward)
        for number in range(arguments.steps + 1):
            for spent, step in (
                (ours, lambda n: trainer_step(training, clock, n)),
                (theirs, plain.step),
            ):
                begun = time.process_time()
                step(number)
                spent.append(time.process_time() - begun)
            if number == 0:
                clock.spent.clear()  # the first step of each side is a warm-up
        training.close()
    report(ours[1:], theirs[1:], clock.spent)
    options = ["--vae", arguments.vae, "--precision", arguments.precision]
    for side in ("trainer", "plain"):
        before, after = memory(side, options)
        print(f"memory of {side}: {after:.2f} GiB, of which {before:.2f} before building anything")


def report(ours: list[float], theirs: list[float], spent: dict[str, float]) -> None:
    ratios = np.array(theirs) / np.array(ours)
    print(
        f"trainer {np.median(ours):.3f} s per step, plain loop {np.median(theirs):.3f} s "
        f"(processor time, one thread, median of {len(ours)})"
    )
    print(
        f"ratio {np.median(ratios):.2f} (quartiles: "
        f"{np.quantile(ratios, 0.25):.2f} to {np.quantile(ratios, 0.75):.2f})"
    )
    shares = {
        "data": spent["data"],
        "forward": spent["gradients"] - spent["backward"],
        "backward": spent["backward"],
        "optimizer": spent["optimizer"],
    }
    total = sum(shares.values())
    print("  ".join(f"{name} {100 * value / total:.0f} %" for name, value in shares.items()))


if __name__ == "__main__":
    main()
