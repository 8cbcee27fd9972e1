"""The checkpoints of a training: each new one is evaluated, noted in a history and gated.

A checkpoint is a model folder (``config.json`` and ``*.safetensors``, ``pytorch_model*.bin``, or
what DeepSpeed writes) or a ``.pth`` file in the tracked folder, or one of a training of ours, whose
folder is tracked. Its run folder is ``OUTPUT/NAME``, so a tracking that was stopped goes on where
it was. A trainer may call ``track`` itself after each checkpoint it has written.
"""

from __future__ import annotations

import io
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval.comparing.folders import compared
from harmon_eval.comparing.verdict import Comparison
from harmon_eval.core import UserError
from harmon_eval.model.train.export import export_checkpoint
from harmon_eval.model.train.recipe import RecipeError
from harmon_eval.model.train.run_folder import STATE
from harmon_eval.running import evaluate
from harmon_eval.running.progress import Progress
from harmon_eval.store.durable import write_whole
from harmon_eval.store.paths import segment
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import frame, stored_metrics

# Hugging Face's older files, and DeepSpeed's.
OTHER_WEIGHTS = r"pytorch_model(-\d+-of-\d+)?\.bin|mp_rank_00_model_states\.pt"
HISTORY, PLOT = "history.parquet", "history.png"
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
        numbers = re.findall(r"\d+", path.stem if path.is_file() else path.name)
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        found.append(Checkpoint(path, int(numbers[-1]) if numbers else 0, tuple(stats)))
    return sorted(found, key=lambda checkpoint: (checkpoint.step, checkpoint.name))


def settled(folder: Path, seconds: float) -> list[Checkpoint]:
    """Those whose files did not change for ``seconds``: one being written is for the next time."""
    before = checkpoints(folder)
    time.sleep(seconds)
    after = {checkpoint.path: checkpoint.stamp for checkpoint in checkpoints(folder)}
    return [checkpoint for checkpoint in before if after.get(checkpoint.path) == checkpoint.stamp]


def history(output: Path) -> pd.DataFrame:
    """A row a metric of a checkpoint; empty before the first one."""
    file = output / HISTORY
    return pd.read_parquet(file) if file.exists() else pd.DataFrame()


def track(
    folder: Path,
    output: Path,
    request: evaluate.Request,
    against: str,
    tolerance: str = "",
    settle: float = 5.0,
    told: Told = lambda outcome, comparison: None,
) -> int:
    """Evaluate what is new. Returns the exit code of the newest checkpoint's gate, 0 if none.

    ``told`` gets what each one came to, and its comparison with the one it is gated against.

    ``request``: tasks, suite and settings; its model and output are set for each checkpoint. A
    checkpoint that does not load is said and left for the next time."""
    code = 0
    found = list(settled(folder, settle))
    if not found:
        Progress("track").say(
            f"no checkpoint in {folder} yet: folders with weights and config.json, .pth files and "
            "checkpoints of a training run are what it looks for"
        )
    for checkpoint in found:
        known = history(output)
        if len(known) and checkpoint.name in set(known["checkpoint"]):
            continue
        run = output / checkpoint.name
        try:
            with _model_folder(checkpoint, output) as model:
                outcome = evaluate.run(replace(request, model=str(model.resolve()), output=run))
        except UserError as error:
            Progress(checkpoint.name).say(f"left for the next time: {error}")
            continue
        reference = _reference(known, against)
        if reference:
            segment(reference, str(output / HISTORY))
        gate = compared(output / reference, run, tolerance=tolerance) if reference else None
        code = gate.code if gate else 0
        told(outcome, gate)
        _append(output, checkpoint, run, reference, code)
        draw_history(history(output), output / PLOT)
    return code


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


def _reference(known: pd.DataFrame, against: str) -> str | None:
    """The checkpoint to compare with: the one before, or the best in the first task's headline."""
    if known.empty or against == "none":
        return None
    if against == "previous":
        return str(known.sort_values("step", kind="stable")["checkpoint"].iloc[-1])
    heads = known[known["headline"]].dropna(subset=["value"])
    heads = heads[heads["task"] == heads["task"].min()]
    heads = heads[heads["n"] == heads["n"].max()]
    if heads.empty:
        return None
    best = heads["value"].idxmax() if heads["higher_is_better"].iloc[0] else heads["value"].idxmin()
    return str(heads.loc[best, "checkpoint"])


def _append(
    output: Path, checkpoint: Checkpoint, run: Path, reference: str | None, code: int
) -> None:
    results = stored_metrics(run)
    rows = frame(results)
    higher = {result["task"]: result["higher_is_better"] for result in results}
    identity: dict[str, Any] = RunFolder(run).manifest["identity"]
    rows = rows.assign(
        checkpoint=checkpoint.name,
        step=checkpoint.step,
        fingerprint=identity["model"]["fingerprint"],
        higher_is_better=rows["task"].map(higher).astype(bool),
        against=reference or "",
        gate=code,
    ).astype({"value": float, "low": float, "high": float})
    buffer = io.BytesIO()
    pd.concat([history(output), rows], ignore_index=True).to_parquet(buffer, index=False)
    write_whole(output / HISTORY, buffer.getvalue())


def draw_history(known: pd.DataFrame, file: Path) -> None:
    """Each task's headline over steps with its 95 % interval; red where the gate failed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heads = known[known["headline"]]
    panels = list(_panels(heads))
    figure = Figure(figsize=(7, 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, own) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True
    ):
        axes.plot(own["step"], own["value"], marker="o", color="tab:blue")
        axes.fill_between(own["step"], own["low"], own["high"], alpha=0.25, color="tab:blue")
        failed = own[own["gate"] == 1]
        axes.plot(failed["step"], failed["value"], "o", color="tab:red")
        axes.set(title=title, xlabel="step")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(file, buffer.getvalue())


def _panels(heads: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for task, own in heads.groupby("task"):
        metric = str(own["metric"].iloc[-1]).replace("$", r"\$")
        yield f"{task} {metric}", own.sort_values("step")
