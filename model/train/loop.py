"""The training loop of Harmon: one step a cycle of sources, on any number of devices."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from harmon_eval.model.checkpoint import write_drawing
from harmon_eval.model.train.batches import BatchMaker, MicroBatch
from harmon_eval.model.train.checksums import Damaged
from harmon_eval.model.train.distillation import drawing_after, teacher_of
from harmon_eval.model.train.evaluation import check_tasks
from harmon_eval.model.train.faults import Alarm, Faults
from harmon_eval.model.train.feed import Feed
from harmon_eval.model.train.gradients import SHARDED, Gradients
from harmon_eval.model.train.latents import CachedLatents, precompute
from harmon_eval.model.train.losses import Losses
from harmon_eval.model.train.optimizers import Average, freeze, optimizers, set_rates
from harmon_eval.model.train.plan import parts_table
from harmon_eval.model.train.recipe import Recipe, RecipeError, Stopped, TrainingError
from harmon_eval.model.train.run_folder import (
    alone,
    check_recipe,
    checkpoints,
    newest_state,
    write_text,
)
from harmon_eval.model.train.schedule import learning_rate_factor
from harmon_eval.model.train.sources import StreamedRows, open_rows
from harmon_eval.model.train.start import Started, begin
from harmon_eval.model.train.state import Position, Snapshots, StopSignal
from harmon_eval.model.train.watching import Watcher, check_trackers, other_trackers


def train_harmon(recipe: Recipe, folder: Path) -> Path:
    """Train into ``folder``, resuming what is there; returns the newest checkpoint.

    Raises RecipeError, and TrainingError where a run had to stop."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    check_trackers(recipe.watch.trackers)
    check_tasks(recipe.eval.tasks)
    accelerator = Accelerator(
        mixed_precision=recipe.precision,
        log_with=other_trackers(recipe.watch.trackers) or None,
        project_dir=folder,
    )
    with _alone(folder, accelerator):
        training = Training(recipe, folder, accelerator, begin(recipe))
        try:
            training.run()
        finally:
            training.close()
        return checkpoints(folder)[-1]


@contextmanager
def _alone(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """The main process holds the folder; all learn where it cannot. Raises RecipeError."""
    with ExitStack() as held:
        problem = [""]
        if accelerator.is_main_process:
            try:
                held.enter_context(alone(folder))
            except RecipeError as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0]:
            raise RecipeError(problem[0])
        yield


def precompute_latents(recipe: Recipe, folder: Path) -> None:
    """Encode the pictures of all sources that say ``cache``, where a training looks for them."""
    if not any(source.cache for source in recipe.sources):
        raise RecipeError("no source says cache = true: there is nothing to precompute")
    with alone(folder):
        started = begin(recipe)
        size = recipe.image_size or started.model.config.image_size
        for number, source in enumerate(recipe.sources):
            if source.cache and source.task != "text":
                rows = open_rows(source, recipe.seed, size)
                assert not isinstance(rows, StreamedRows)
                precompute(recipe, number, rows, started.model.vae, size, folder / "latents")


class Training:
    """A training on its way: model, optimizers, data and position."""

    def __init__(
        self, recipe: Recipe, folder: Path, accelerator: Accelerator, started: Started
    ) -> None:
        self.recipe, self.folder, self.accelerator = recipe, folder, accelerator
        check_devices(recipe, accelerator)
        model = started.model
        teacher = teacher_of(recipe, started)
        prediction = model.config.head.prediction
        drawing = drawing_after(started.drawing, recipe.distil, prediction)
        started = replace(started, drawing=drawing)
        freeze(model, recipe.optimizer)
        if accelerator.is_main_process:
            check_recipe(folder, asdict(recipe), dict(started.origins))
            started.processor.save(folder / "tokenizer")
            write_drawing(started.drawing, folder)
            print(*parts_table(model, started.origins), sep="\n", flush=True)
        accelerator.wait_for_everyone()
        self.feed = Feed(self._maker(started), recipe.steps)
        if plugin := accelerator.deepspeed_plugin:
            # DeepSpeed wants a number; what a micro-batch holds is up to its source.
            plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = 1
            plugin.deepspeed_config.setdefault("gradient_clipping", recipe.optimizer.clip)
        self.losses, *self.steppers = accelerator.prepare(
            Losses(model, teacher), *optimizers(model, recipe.optimizer)
        )
        self.gradients = Gradients(recipe, accelerator, self.losses)
        self.model = accelerator.unwrap_model(self.losses).model
        self.average = Average(self.model, recipe.optimizer.ema)
        self.alarm = Alarm(recipe)
        self.snapshots = Snapshots(folder, recipe.watch.keep, accelerator)
        self.position = Position()
        # Dropout differs between processes; everything else is drawn by sample.
        torch.manual_seed(recipe.seed + 1_000_003 * accelerator.process_index)
        if state := self._newest():
            self.position = self.snapshots.restore(
                state, self.model, self.steppers, self.average, self.alarm
            )
            self.feed.restore(self.position.data)
            accelerator.print(f"goes on from step {self.position.step} in {folder}")
        self.watcher = Watcher(recipe, folder, accelerator, started, self.position)

    def _newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole. The main process looks, and puts others aside."""
        problem = [""]
        state = None
        if self.accelerator.is_main_process:
            try:
                state = newest_state(self.folder, set_aside=True)
            except Damaged as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0]:
            raise TrainingError(problem[0])
        return state if self.accelerator.is_main_process else newest_state(self.folder)

    def _maker(self, started: Started) -> BatchMaker:
        recipe, accelerator = self.recipe, self.accelerator
        size = recipe.image_size or started.model.config.image_size
        rows = [open_rows(source, recipe.seed, size) for source in recipe.sources]
        faults = Faults(self.folder / "skipped.jsonl", recipe.broken)
        config, world = started.model.config, accelerator.num_processes
        maker = BatchMaker(
            recipe,
            config,
            started.processor,
            rows,
            [None] * len(rows),
            faults,
            accelerator.process_index,
            world,
        )
        caches: list[CachedLatents | None] = []
        for number, source in enumerate(recipe.sources):
            cached = None
            if source.cache and source.task != "text":
                vae = started.model.vae.to(accelerator.device)
                opened = rows[number]
                assert not isinstance(opened, StreamedRows)
                with accelerator.main_process_first():
                    cached = precompute(
                        recipe, number, opened, vae, maker.size, self.folder / "latents"
                    )
            caches.append(cached)
        return replace(maker, caches=caches)

    def run(self) -> None:
        """Take all steps that are left. Raises TrainingError."""
        self.losses.train()
        started = time.monotonic() - self.position.seconds
        with StopSignal() as stop:
            for step, progress in self._left():
                batches, data = self.feed.take(step)
                set_rates(
                    self.steppers,
                    learning_rate_factor(
                        progress * self.recipe.steps, self.recipe.steps, self.recipe.schedule
                    ),
                )
                losses, norm = self.gradients.of(batches)
                shared = self.gradients.shared(
                    [*losses.values(), float(stop.asked), time.monotonic() - started]
                )
                losses = dict(zip(losses, shared, strict=False))
                self._apply(step, batches, losses, norm)
                self.position = Position(step + 1, shared[-1], data, self.position.skipped)
                leave = shared[-2] > 0
                self._after_step(losses, norm, batches, leave)
                if leave:
                    raise Stopped(
                        f"stopped by a signal, saved at step {step + 1}; the same command resumes"
                    )
        self._after_step({}, 0.0, [], leave=True)

    def _left(self) -> Iterator[tuple[int, float]]:
        """Steps with their progress (0 to 1), by step count or clock, whichever is further."""
        for step in range(self.position.step, self.recipe.steps):
            progress = step / self.recipe.steps
            if self.recipe.minutes:
                progress = max(progress, self.position.seconds / 60 / self.recipe.minutes)
            if progress >= 1:
                return
            yield step, progress

    # -- one step ----------------------------------------------------------------------------

    def _apply(
        self, step: int, batches: list[MicroBatch], losses: dict[str, float], norm: float
    ) -> None:
        """Let the optimizers step, unless something is wrong. Raises TrainingError."""
        wrong = self.alarm.trouble(losses)
        if wrong is None and not math.isfinite(norm) and self.recipe.precision != "fp16":
            wrong = f"the gradient's norm is {norm}"
        if wrong is None:
            for stepper in self.steppers:
                stepper.step()
            self.average.update(self.model, step)
        for stepper in self.steppers:
            stepper.zero_grad()
        if wrong is None:
            return
        samples = gather_object([name for batch in batches for name in batch.names])
        path = self.folder / f"bad-step-{step + 1}.json"
        if self.accelerator.is_main_process:
            write_text(path, json.dumps({"reason": wrong, "samples": samples}, indent=1) + "\n")
        if self.recipe.bad_step == "stop":
            raise TrainingError(
                f"step {step + 1}: {wrong}; its samples are in {path}, it is not taken. Go on "
                "from the last checkpoint with --set bad_step=skip, or with another seed or rate"
            )
        self.position = replace(self.position, skipped=self.position.skipped + 1)

    def _after_step(
        self, losses: dict[str, float], norm: float, batches: list[MicroBatch], leave: bool
    ) -> None:
        """Say, save, draw and evaluate what is due; with ``leave``, save at all events."""
        watch, step = self.recipe.watch, self.position.step
        if losses:
            rate = max(group["lr"] for s in self.steppers for group in s.param_groups)
            images = sum(self.recipe.sources[b.source].batch for b in batches if b.task != "text")
            self.watcher.step(self.position, losses, norm, rate, images)
        done = leave or step == self.recipe.steps
        due = bool(watch.save_every) and step % watch.save_every == 0
        if (done or due) and self.snapshots.saved_at != step:
            self.snapshots.save(
                self.position, self.model, self.steppers, self.average, self.alarm, must=done
            )
            self.watcher.curve()
        if losses and not leave:
            self.watcher.look(
                self.position, lambda: self.snapshots.weights(self.model, self.average)
            )
            self.losses.train()

    def close(self) -> None:
        self.feed.close()
        self.watcher.close()


def check_devices(recipe: Recipe, accelerator: Accelerator) -> None:
    """Raises RecipeError for what cannot be spread over these processes."""
    world = accelerator.num_processes
    for number, source in enumerate(recipe.sources):
        if source.batch % world:
            raise RecipeError(
                f"sources.{number}.batch = {source.batch} cannot be shared by {world} processes: "
                f"make it a multiple of {world}"
            )
    if recipe.optimizer.name == "muon" and accelerator.distributed_type in SHARDED:
        raise RecipeError(
            'muon needs whole matrices: use plain data parallelism, or optimizer.name = "adamw"'
        )
    plugin = accelerator.deepspeed_plugin
    if plugin and plugin.zero_stage == 3:
        raise RecipeError(
            "averages and drawings need the weights whole on every device, which ZeRO stage 3 does "
            "not keep: use --zero_stage 2, or FSDP2"
        )
