"""The folder of one training. A checkpoint is there whole, or not at all.

::

    RUN/recipe.json                  what is trained, and from what (origins)
    RUN/tokenizer/, generation_config.json  as in the model's folder that an export makes
    RUN/checkpoints/step-0001000/    state.pt: all that resuming needs; digests.json
    RUN/damaged/step-0001000/        a checkpoint that was not as it had been written
    RUN/history.jsonl                losses, rates, samples and scores, one JSON object a line
    RUN/losses.png, samples/, evaluations/, latents/
    RUN/skipped.jsonl                broken samples; bad-step-N.json: samples of a bad step
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harmon_eval.model.tensors import CheckpointError, read_json
from harmon_eval.model.train.checksums import DIGESTS, Damaged, read_state, verify
from harmon_eval.model.train.recipe import RecipeError
from harmon_eval.model.weight_files import step

STATE = "state.pt"
# What may change when a training goes on.
FREE = ("steps", "minutes", "threads", "watch", "eval", "device_batch", "gradient_checkpointing")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One training at a time writes into a folder. What a dead one held is free: the lock is the
    system's. Raises RecipeError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise RecipeError(
            f"another training is writing into {folder}: wait for it, or give another --output"
        ) from None
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise RecipeError(
            f"{folder} cannot be written to or locked ({why}): give another --output"
        ) from None
    try:
        yield
    finally:
        lock.release()


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, the oldest first."""
    found = (folder / "checkpoints").glob("step-*")
    return sorted((path for path in found if path.is_dir()), key=lambda path: (step(path), path))


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
    _flush_folder(final.parent)  # before an older one goes
    for old in checkpoints(folder)[: -max(1, keep)]:
        shutil.rmtree(old)
    return final


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoint(place: Path) -> dict[str, Any]:
    """The state of one checkpoint, folder or file. Raises Damaged."""
    if place.is_dir():
        verify(place)
        place = place / STATE
    state = read_state(place)
    if lacking := {"position", "model", "config"} - state.keys():
        raise Damaged(f"{place} is damaged: it lacks {sorted(lacking)[0]}")
    return state


def newest_state(place: Path, set_aside: bool = False) -> dict[str, Any] | None:
    """The state of a run's newest whole checkpoint, or of the checkpoint folder or file itself.

    Damaged ones are said; with ``set_aside`` they are moved, so that they count no more. None where
    there is no checkpoint yet. Raises Damaged where none is whole."""
    if not (found := checkpoints(place)):
        itself = place.is_file() or (place / STATE).exists() or (place / DIGESTS).exists()
        return read_checkpoint(place) if itself else None
    damaged: list[tuple[Path, str]] = []
    for checkpoint in reversed(found):
        try:
            state = read_checkpoint(checkpoint)
        except Damaged as error:
            damaged.append((checkpoint, str(error)))
            continue
        for other, reason in damaged:
            moved = f"; it is now in {_set_aside(other)}" if set_aside else ""
            print(f"{reason}: {checkpoint.name} is taken instead{moved}", file=sys.stderr)
        return state
    raise Damaged(
        f"{damaged[0][1]}, and no checkpoint before it is whole: remove {found[0].parent} to "
        "begin anew, or give another --output"
    )


def _set_aside(checkpoint: Path) -> Path:
    folder = checkpoint.parent.parent / "damaged"
    folder.mkdir(exist_ok=True)
    place, number = folder / checkpoint.name, 2
    while place.exists():
        place, number = folder / f"{checkpoint.name}-{number}", number + 1
    return checkpoint.replace(place)


def read_record(folder: Path) -> dict[str, Any]:
    """What recipe.json says of a run. Raises RecipeError."""
    path = folder / "recipe.json"
    try:
        record = read_json(path)
    except CheckpointError:
        record = {}
    if not isinstance(record.get("recipe"), dict) or not isinstance(record.get("origins"), dict):
        raise RecipeError(
            f"{path} is damaged: remove it, and the next start of the same training writes it again"
        )
    return record


def check_recipe(folder: Path, values: dict[str, Any], origins: dict[str, str]) -> None:
    """Record the recipe, or compare with what the run began with. Raises RecipeError."""
    path = folder / "recipe.json"
    values = json.loads(json.dumps(values))
    if path.exists():
        before = read_record(folder)["recipe"]
        for key in sorted(set(values) | set(before)):
            if key not in FREE and values.get(key) != before.get(key):
                where, one, other = _first_difference(key, before.get(key), values.get(key))
                raise RecipeError(
                    f"{folder} holds a run with another {where}: {str(one)[:200]}, not "
                    f"{str(other)[:200]}; give another --output, or the recipe that it began with"
                )
    from harmon_eval.running.provenance import git_commit

    record = {"recipe": values, "origins": origins, "commit": git_commit()}
    write_text(path, json.dumps(record, indent=2) + "\n")


def _first_difference(key: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """The innermost key at which two values of a recipe differ, and both of them there."""
    if isinstance(one, dict) and isinstance(other, dict):
        inner = next(k for k in {**one, **other} if one.get(k) != other.get(k))
        return _first_difference(f"{key}.{inner}", one.get(inner), other.get(inner))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        place = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        return _first_difference(f"{key}.{place}", one[place], other[place])
    return key, one, other


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
    for line in (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    ):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "step" in entry:
            entries.append(entry)
    return entries
