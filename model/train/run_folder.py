"""The folder of one training. A checkpoint is there whole, or not at all.

::

    RUN/recipe.json                  what is trained, and from what (origins)
    RUN/tokenizer/, generation_config.json  as in the model's folder that an export makes
    RUN/checkpoints/step-0001000/    state.pt: all that resuming needs; the newest counts
    RUN/history.jsonl                losses, rates, samples and scores, one JSON object a line
    RUN/losses.png, samples/, evaluations/, latents/
    RUN/skipped.jsonl                broken samples; bad-step-N.json: samples of a bad step
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from harmon_eval.model.train.recipe import RecipeError

STATE = "state.pt"
# What may change when a training goes on.
FREE = ("steps", "minutes", "threads", "watch", "eval", "device_batch", "gradient_checkpointing")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def save_file(state: dict[str, Any], path: Path) -> None:
    """Write to a temporary name beside ``path``, flush, rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_file(path: Path) -> dict[str, Any] | None:
    """The state at ``path``, or None when there is none yet."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, the oldest first."""
    return sorted((folder / "checkpoints").glob("step-*"))


def begin_checkpoint(folder: Path, step: int) -> Path:
    """An empty folder to write a checkpoint into; remains of an interrupted one go."""
    temporary = folder / "checkpoints" / f".step-{step:07d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def finish_checkpoint(temporary: Path, keep: int) -> Path:
    """Give the written folder its name, then remove the oldest but ``keep``."""
    folder = temporary.parent.parent
    final = temporary.with_name(temporary.name.removeprefix(".").removesuffix(".tmp"))
    shutil.rmtree(final, ignore_errors=True)
    temporary.replace(final)
    for old in checkpoints(folder)[: -max(1, keep)]:
        shutil.rmtree(old)
    return final


def newest_state(place: Path) -> dict[str, Any] | None:
    """The state of a run's newest checkpoint, or of the checkpoint folder or file itself."""
    if (place / "checkpoints").is_dir() and checkpoints(place):
        place = checkpoints(place)[-1]
    return load_file(place / STATE if place.is_dir() else place)


def check_recipe(folder: Path, values: dict[str, Any], origins: dict[str, str]) -> None:
    """Record the recipe, or compare with what the run began with. Raises RecipeError."""
    path = folder / "recipe.json"
    values = json.loads(json.dumps(values))
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))["recipe"]
        for key in sorted(set(values) | set(before)):
            if key not in FREE and values.get(key) != before.get(key):
                raise RecipeError(
                    f"{folder} holds a run with another {key}: {str(before.get(key))[:200]}, not "
                    f"{str(values.get(key))[:200]}; give another --output"
                )
    from harmon_eval.running.provenance import git_commit

    record = {"recipe": values, "origins": origins, "commit": git_commit()}
    write_text(path, json.dumps(record, indent=2) + "\n")


class History:
    """One JSON object a line. A resumed run forgets what was written after its checkpoint."""

    def __init__(self, path: Path, resumed_at: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        if path.exists():
            kept = [entry for entry in read_history(path) if entry["step"] <= resumed_at]
            write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))

    def write(self, **values: Any) -> None:
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")


def read_history(path: Path) -> list[dict[str, Any]]:
    """Entries of a history; the torn last line of a killed run is left out."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "step" in entry:
            entries.append(entry)
    return entries
