"""The mean of two models' weights (a "model soup", Wortsman et al., arXiv 2203.05482).

A training and the one that went on from it often lie in one valley: between them a model can keep
what the second learnt and what it forgot.
"""

from __future__ import annotations

from pathlib import Path

import torch

from harmon_eval.model.checkpoint import load
from harmon_eval.model.tensors import CheckpointError
from harmon_eval.model.train.export import write_model
from harmon_eval.model.train.recipe import RecipeError


@torch.no_grad()
def average(first: str, second: str, folder: Path, share: float, dtype: torch.dtype) -> None:
    """Write ``(1 - share) * first + share * second`` as a model folder.

    Tokenizer and drawing settings are the second's. Raises RecipeError where the two have not the
    same parts, shapes and words, or where one cannot be loaded."""
    if not 0 <= share <= 1:
        raise RecipeError(f"--share {share:g}: the second model's share lies between 0 and 1")
    try:
        one, two = load(first), load(second)
    except CheckpointError as error:
        raise RecipeError(str(error)) from None
    if one.pipeline.model.config != two.pipeline.model.config:
        raise RecipeError(f"{first} and {second} are not of one architecture (see config.json)")
    vocabularies = [loaded.pipeline.processor.tokenizer.vocabulary() for loaded in (one, two)]
    if vocabularies[0] != vocabularies[1]:
        raise RecipeError(f"{first} and {second} do not have the same words in the same places")
    mine = dict(one.pipeline.model.named_parameters())
    for name, weight in two.pipeline.model.named_parameters():
        weight.lerp_(mine[name], 1 - share)
    record = {
        "average": [
            {"model": loaded.name, "fingerprint": loaded.fingerprint, "share": part}
            for loaded, part in ((one, 1 - share), (two, share))
        ],
        "training": dict(two.training),
    }
    write_model(two.pipeline, folder, two.draw_settings, dtype, record)
