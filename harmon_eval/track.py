"""The checkpoints of a training: each new one is evaluated and gated against a fixed baseline.

A checkpoint is a model folder (``config.json`` and ``*.safetensors``, ``pytorch_model*.bin``, or
what DeepSpeed writes) or a ``.pth`` file in the tracked folder, or one of a training of ours, whose
folder is tracked. Its run folder is ``OUTPUT/NAME``, so a tracking that was stopped goes on where
it was. A trainer may call ``track`` itself after each checkpoint it has written. The history is
made from the run folders (``comparing.history``).
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harmon_eval import registry, suites
from harmon_eval.comparing.history import HISTORY, Watch, finished, history, step_of, update
from harmon_eval.comparing.verdict import Comparison
from harmon_eval.core import UserError
from harmon_eval.metrics.text import counted_are
from harmon_eval.model.train.export import export_checkpoint
from harmon_eval.model.train.recipe import RecipeError
from harmon_eval.model.train.run_folder import STATE
from harmon_eval.running import evaluate
from harmon_eval.running.progress import Progress
from harmon_eval.store.paths import segment
from harmon_eval.store.run_folder import RunFolder

# Hugging Face's older files, and DeepSpeed's.
OTHER_WEIGHTS = r"pytorch_model(-\d+-of-\d+)?\.bin|mp_rank_00_model_states\.pt"
__all__ = ["Checkpoint", "Watch", "checkpoints", "history", "settled", "track"]
Told = Callable[[evaluate.Outcome, Comparison | None], None]


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    step: int
    stamp: tuple[tuple[str, int, int], ...]

    @property
    def name(self) -> str:
        return self.path.name


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Complete ones by step, the last number in their name (none: 0). Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give the one that holds the checkpoints")
    found = []
    own = folder / "checkpoints"
    for path in (own if own.is_dir() else folder).iterdir():
        files = sorted(path.glob("*")) if path.is_dir() else [path]
        names = [file.name for file in files]
        weights = any(name.endswith(".safetensors") for name in names) and "config.json" in names
        weights = weights or any(re.fullmatch(OTHER_WEIGHTS, name) for name in names)
        complete = weights or path.suffix == ".pth" or (path.is_dir() and STATE in names)
        if path.name.startswith(".") or not complete:
            continue
        if any(name.endswith((".tmp", ".part")) for name in names):
            continue
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        found.append(Checkpoint(path, step_of(path.name), tuple(stats)))
    return sorted(found, key=lambda checkpoint: (checkpoint.step, checkpoint.name))


def settled(folder: Path, seconds: float) -> list[Checkpoint]:
    """Those whose files did not change for ``seconds``: one being written is for the next time."""
    before = checkpoints(folder)
    time.sleep(seconds)
    after = {checkpoint.path: checkpoint.stamp for checkpoint in checkpoints(folder)}
    return [checkpoint for checkpoint in before if after.get(checkpoint.path) == checkpoint.stamp]


def track(
    folder: Path,
    output: Path,
    request: evaluate.Request,
    watch: Watch | None = None,
    settle: float = 5.0,
    told: Told = lambda outcome, comparison: None,
) -> int:
    """Evaluate what is new. Returns the exit code of the newest checkpoint's gate, 0 if none.

    ``told`` gets what each new one came to, and its comparison with the baseline. ``watch`` names
    the baseline and says what a loss is. ``request``: tasks, suite and settings; its model and
    output are set for each checkpoint. A checkpoint that does not load is said and left for the
    next time. Raises UserError, before anything is evaluated, for a baseline that does not exist
    and for tasks and margins that cannot be."""
    found = list(settled(folder, settle))
    if not found:
        Progress("track").say(
            f"no checkpoint in {folder} yet: folders with weights and config.json, .pth files and "
            "checkpoints of a training run are what it looks for"
        )
    watch = watch or Watch()
    tops: dict[str, float | None] = {}
    if not request.every_task:  # of all tasks, which can run shows later
        tasks = {name: task or registry.task(name) for name, task in request.chosen.items()}
        tops = {name: task.main.maximum for name, task in tasks.items()}
    watch.check([each.name for each in found], tops)
    suites.load(request.suite, request.data, request.instruments)  # told once, not for each
    new: dict[str, evaluate.Outcome] = {}
    for checkpoint in found:
        run = output / segment(checkpoint.name, str(output / HISTORY))
        if finished(run):
            _check_options(run, request)
            continue
        try:
            with _model_folder(checkpoint, output) as model:
                outcome = evaluate.run(replace(request, model=str(model.resolve()), output=run))
        except UserError as error:
            Progress(checkpoint.name).warn(f"left for the next time: {error}")
            continue
        new[checkpoint.name] = outcome
    if found and not new:
        Progress("track").say(_nothing_new(found, output))
    gates = update(output, watch)
    for name, outcome in new.items():
        told(outcome, gates.get(name))
    newest = max(new, key=lambda name: (step_of(name), name), default="")
    gate = gates.get(newest)
    return gate.code if gate else 0


def _check_options(run: Path, request: evaluate.Request) -> None:
    """Raises UserError for a run of other tasks, or with other options: they would be ignored."""
    manifest = RunFolder(run).manifest
    asked = [] if request.every_task else list(request.chosen)
    tasks = {n: t for n, t in manifest["tasks"].items() if n in asked or request.every_task}
    told = [
        f"{name} {was}, not {now}"
        for name, was, now in (
            ("--suite", manifest["identity"].get("suite"), request.suite),
            ("--seed", manifest["identity"].get("seed"), request.settings.seed),
            *(("--limit", task.get("limit"), request.settings.limit) for task in tasks.values()),
        )
        if was != now
    ]
    if lacking := [name for name in asked if name not in tasks]:
        told.append(f"without the task {', '.join(lacking)}")
    if told:
        raise UserError(
            f"{run} was evaluated with other options ({'; '.join(dict.fromkeys(told))}): give the "
            "same ones, or another --output"
        )


def _nothing_new(found: Sequence[Checkpoint], output: Path) -> str:
    known = [each.name for each in found if finished(output / segment(each.name, str(output)))]
    told = f"nothing new: {counted_are(len(known), 'checkpoint')} evaluated"
    if known:
        told += f", the last is {known[-1]}"
    left = len(found) - len(known)
    return told + f"; {counted_are(left, 'checkpoint')} left for the next time" * bool(left)


@contextmanager
def _model_folder(checkpoint: Checkpoint, output: Path) -> Iterator[Path]:
    """What can be evaluated. Of a training's checkpoint a copy is made, which goes once that is
    done; an evaluation that was stopped finds it where it was."""
    if not (checkpoint.path / STATE).exists():
        yield checkpoint.path
        return
    exported = output / "models" / checkpoint.name
    if not exported.exists():
        part = exported.with_name(exported.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            export_checkpoint(checkpoint.path, part)
        except (OSError, RecipeError) as error:  # the training may just have removed it
            raise UserError(f"{checkpoint.path} could not be read: {error}") from error
        part.replace(exported)
    yield exported
    shutil.rmtree(exported)
