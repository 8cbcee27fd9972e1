"""From a training checkpoint to a model folder, with the record of how it came to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harmon_eval.model.checkpoint import TRAINING, read_drawing, read_processor
from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.tensors import CheckpointError
from harmon_eval.model.train.card import write_card
from harmon_eval.model.train.checksums import Damaged
from harmon_eval.model.train.recipe import RecipeError
from harmon_eval.model.train.run_folder import newest_state, read_record, write_text


def write_model(
    pipeline: HarmonPipeline,
    folder: Path,
    settings: DrawSettings | None,
    dtype: torch.dtype | None,
    training: Mapping[str, Any],
) -> None:
    """A model folder with its training's provenance, which the harness shows with its scores."""
    pipeline.save_pretrained(folder, settings, dtype)
    write_text(folder / TRAINING, json.dumps(training, indent=2) + "\n")


def export_checkpoint(place: Path, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """The weights of a checkpoint, averaged ones where there are any, as a model folder.

    ``place`` is a run's folder (its newest checkpoint) or one of its ``checkpoints/step-N``. Raises
    RecipeError where there is no checkpoint."""
    run = place.parent.parent if place.parent.name == "checkpoints" else place
    if not (run / "recipe.json").exists():
        raise RecipeError(f"{place} holds no finished checkpoint of a training")
    recorded = read_record(run)
    try:
        state = newest_state(place)
        drawing, processor = read_drawing(run), read_processor(run / "tokenizer")
    except (Damaged, CheckpointError) as error:
        raise RecipeError(str(error)) from None
    if state is None:
        raise RecipeError(f"{place} holds no finished checkpoint of a training")
    if processor is None:
        raise RecipeError(f"{run / 'tokenizer'} holds no tokenizer: start the training once more")
    model = Harmon(HarmonConfig.from_dict(state["config"]))
    model.load_state_dict({**state["model"], **state["average"]})
    recipe = recorded["recipe"]
    position = state["position"]
    training = {
        "steps": position["step"],
        "seconds": round(position["seconds"]),
        "averaged": bool(state["average"]),
        "skipped_samples": position["data"]["faults"]["skipped"],
        "origins": recorded["origins"],
        "commit": recorded.get("commit"),
        "recipe": recipe,
    }
    pipeline = HarmonPipeline(model.eval(), processor)
    write_model(pipeline, folder, drawing, dtype, training)
    write_card(folder, run, training, sum(p.numel() for p in model.parameters()))
