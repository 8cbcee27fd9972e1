"""From a training checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path

import torch

from harmon_eval.model.config import HarmonConfig
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import Processor
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.train.recipe import RecipeError
from harmon_eval.model.train.run_folder import load_checkpoint

# Chosen for harmon-mini on prompts that are not in the mini suite.
MINI_DRAWING = DrawSettings(cfg_scale=2.0, iterations=16, diffusion_steps=40)


def trained_pipeline(checkpoint: Path) -> HarmonPipeline:
    """The averaged weights of a checkpoint, ready to draw. Raises RecipeError without one."""
    state = load_checkpoint(checkpoint)
    if state is None:
        raise RecipeError(f"no checkpoint at {checkpoint}")
    model = Harmon(HarmonConfig.from_dict(state["config"]))
    model.load_state_dict(state["average"])
    processor = Processor.from_folder(checkpoint.parent / "tokenizer")
    return HarmonPipeline(model.eval(), processor)


def export_checkpoint(checkpoint: Path, folder: Path) -> None:
    trained_pipeline(checkpoint).save_pretrained(folder, MINI_DRAWING, torch.float16)
