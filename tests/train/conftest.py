"""A training of seconds: a Harmon of a few thousand weights in float32, without dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harmon_eval.model.train import reading
from harmon_eval.model.train.recipe import Recipe, VAERecipe
from harmon_eval.model.train.vae import train_vae


@pytest.fixture(scope="session")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE that was trained for one step."""
    recipe = reading.from_values(
        {
            "kind": "vae",
            "steps": 1,
            "batch": 2,
            "multipliers": [1, 1, 1, 1, 1],
            "bfloat16": False,
            "threads": 1,
            "save_every": 1,
        }
    )
    assert isinstance(recipe, VAERecipe)
    return train_vae(recipe, tmp_path_factory.mktemp("vae"))


def tiny_values(vae: Path) -> dict[str, Any]:
    """A recipe as TOML gives it: a cycle of two drawing, one seeing and one text micro-batch."""
    return {
        "kind": "harmon",
        "steps": 6,
        "precision": "no",
        "threads": 1,
        "start": {
            "vae": str(vae),
            "llm_width": 32,
            "llm_layers": 1,
            "mar_width": 32,
            "mar_depth": 1,
            "head_width": 32,
            "head_depth": 1,
            "buffers": 2,
            "dropout": 0.0,
        },
        "sources": [
            {"task": "text2image", "batch": 4, "repeat": 2, "scenes": 16, "cache": True},
            {"task": "image2text", "batch": 2, "scenes": 16, "cache": True},
            {"task": "text", "batch": 2},
        ],
        "optimizer": {"learning_rate": 1e-3, "ema": 0.9},
        "watch": {"log_every": 1, "save_every": 2},
    }


@pytest.fixture
def values(vae: Path) -> dict[str, Any]:
    return tiny_values(vae)


@pytest.fixture
def tiny(values: dict[str, Any]) -> Recipe:
    recipe = reading.from_values(values)
    assert isinstance(recipe, Recipe)
    return recipe
