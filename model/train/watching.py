"""What can be seen of a training: progress, history, curves, drawings and scores."""

from __future__ import annotations

import difflib
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, tracking
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from harmon_eval.model.harmon import Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.train.curves import loss_curve
from harmon_eval.model.train.evaluation import harness_scores, opened_trackers
from harmon_eval.model.train.export import write_model
from harmon_eval.model.train.recipe import Recipe, RecipeError
from harmon_eval.model.train.run_folder import History
from harmon_eval.model.train.start import Started
from harmon_eval.model.train.state import Position

HISTORY = "history.jsonl"


OWN_TRACKERS = ("wandb", "mlflow", "tensorboard")  # the harness's: with intervals and pictures


def other_trackers(names: Sequence[str]) -> list[str]:
    """Those that accelerate writes to."""
    return [name for name in names if name not in OWN_TRACKERS]


def check_trackers(names: Sequence[str]) -> None:
    """Raises RecipeError: accelerate leaves out a tracker that is not installed without a word."""
    for name in names:
        if name in OWN_TRACKERS:
            _check_own(name)
            continue
        if name not in LOGGER_TYPE_TO_CLASS:
            known = sorted(LOGGER_TYPE_TO_CLASS)
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise RecipeError(f"watch.trackers: no tracker is called {name!r}: {hint}")
        if name not in map(str, tracking.get_available_trackers()):
            raise RecipeError(f"watch.trackers: {name} is not installed: pip install {name}")


def _check_own(name: str) -> None:
    from importlib.util import find_spec

    if find_spec(name) is None:
        raise RecipeError(
            f"watch.trackers: {name} is not installed: pip install 'harmon-eval[{name}]'"
        )


def time_left(recipe: Recipe, step: int, seconds: float, since: tuple[int, float]) -> str:
    """How long the rest takes at the speed since the last line, as "12 min left"."""
    left = (recipe.steps - step) * (seconds - since[1]) / max(1, step - since[0])
    if recipe.minutes:
        left = min(left, 60 * recipe.minutes - seconds)
    minutes = max(0, round(left / 60))
    hours, rest = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest} min left"
    return f"{minutes} min left" if minutes else "less than a minute left"


class Watcher:
    """Shows and records on the main process; the others only follow."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        accelerator: Accelerator,
        started: Started,
        position: Position,
    ) -> None:
        self.recipe, self.folder, self.accelerator = recipe, folder, accelerator
        self.started = started
        self.main = accelerator.is_main_process
        self.sums: dict[str, list[float]] = {}
        self.since = (position.step, position.seconds)
        self.images = 0
        if self.main:
            self.history = History(folder / HISTORY, position.step)
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (self.main and console.is_terminal),
        )
        self.task = self.bar.add_task("training", total=recipe.steps, completed=position.step)
        self.bar.start()
        own = [name for name in recipe.watch.trackers if name in OWN_TRACKERS]
        self.trackers = opened_trackers(own, recipe, folder) if own and self.main else None
        if other_trackers(recipe.watch.trackers):
            accelerator.init_trackers("harmon", config={"recipe": str(recipe)})

    def step(
        self, position: Position, losses: dict[str, float], norm: float, rate: float, images: int
    ) -> None:
        """Take in one step; says means over the steps since the last line."""
        for name, value in {**losses, "norm": norm}.items():
            self.sums.setdefault(name, []).append(value)
        self.images += images
        every = self.recipe.watch.log_every
        if not every or position.step % every:
            self.bar.update(self.task, completed=position.step)
            return
        means = {name: sum(values) / len(values) for name, values in self.sums.items()}
        spent = max(1e-9, position.seconds - self.since[1])
        speed = self.images / spent
        said = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        faults = position.data["faults"]["skipped"]
        said += f"  {speed:.1f} images/s" + (f"  {faults} skipped" if faults else "")
        said += f"  {position.skipped} steps not taken" if position.skipped else ""
        left = time_left(self.recipe, position.step, position.seconds, self.since)
        self.bar.update(self.task, completed=position.step, description=said)
        if self.main:
            entry = {**means, "rate": rate, "images_per_s": speed, "skipped": faults}
            self.history.write(step=position.step, seconds=position.seconds, **entry)
            if not self.bar.console.is_terminal:
                print(f"step {position.step}/{self.recipe.steps}  {said}  {left}", flush=True)
        self._track({**means, "rate": rate, "images_per_s": speed}, position)
        self.sums, self.images = {}, 0
        self.since = (position.step, position.seconds)

    def curve(self) -> None:
        if self.main:
            loss_curve(self.folder / HISTORY, self.folder / "losses.png")

    def look(self, position: Position, weights: Callable[[], dict[str, Tensor]]) -> None:
        """Draw and evaluate where that is due; all processes call this."""
        watch, evaluation, step = self.recipe.watch, self.recipe.eval, position.step
        draw = bool(watch.draw_every and watch.prompts) and step % watch.draw_every == 0
        judge = bool(evaluation.every and evaluation.tasks) and step % evaluation.every == 0
        if not (draw or judge):
            return
        whole = weights()
        if self.main:
            model = Harmon(self.started.model.config)
            model.load_state_dict(whole)
            pipeline = HarmonPipeline(model.eval(), self.started.processor)
            settings = self.started.drawing
            state = torch.get_rng_state()
            if draw:
                self._draw(pipeline, settings, step)
            if judge:
                self._judge(pipeline, settings, position)
            torch.set_rng_state(state)
        self.accelerator.wait_for_everyone()

    def _draw(self, pipeline: HarmonPipeline, settings: DrawSettings, step: int) -> None:
        """The same prompts from the same seeds every time."""
        prompts = list(self.recipe.watch.prompts)
        images = pipeline.draw(prompts, list(range(len(prompts))), settings)
        path = self.folder / "samples" / f"step-{step:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid = image_grid(images)
        grid.save(path)
        if self.trackers is not None:
            self.trackers.picture("samples", grid, " | ".join(prompts), step)

    def _judge(self, pipeline: HarmonPipeline, settings: DrawSettings, position: Position) -> None:
        folder = self.folder / "evaluations" / f"step-{position.step:07d}"
        training = {"steps": position.step, "seconds": round(position.seconds)}
        write_model(pipeline, folder / "model", settings, torch.float32, training)
        scores = harness_scores(folder, self.recipe.eval)
        shutil.rmtree(folder / "model")  # its hash is in the run's manifest
        for score in scores:
            self.history.write(step=position.step, seconds=position.seconds, **score)
        self._track(_with_intervals(scores), position)
        self.curve()

    def _track(self, values: dict[str, float], position: Position) -> None:
        """Trackers write on the main process only."""
        if self.trackers is not None and values:
            self.trackers.numbers(values, position.step)
        if other_trackers(self.recipe.watch.trackers) and values:
            self.accelerator.log(values, step=position.step)

    def close(self) -> None:
        self.bar.stop()
        if self.trackers is not None:
            self.trackers.close()
        if other_trackers(self.recipe.watch.trackers):
            self.accelerator.end_training()


def _with_intervals(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """``eval/TASK`` with its interval, of the tasks that have a score."""
    found: dict[str, float] = {}
    for score in scores:
        if score["score"] is None:
            continue
        key = f"eval/{score['task']}"
        found[key] = score["score"]
        for end, value in zip(("low", "high"), score["interval"] or (), strict=False):
            if math.isfinite(value):
                found[f"{key}_{end}"] = value
    return found


def image_grid(images: list[Image.Image], gap: int = 2) -> Image.Image:
    """As square a grid as it gets, row by row."""
    columns = max(1, round(len(images) ** 0.5 + 0.49))
    rows = -(-len(images) // columns)
    width, height = images[0].width + gap, images[0].height + gap
    grid = Image.new("RGB", (columns * width - gap, rows * height - gap), "white")
    for i, image in enumerate(images):
        grid.paste(image, (i % columns * width, i // columns * height))
    return grid
