"""Small networks of the real classes, with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from harmon_eval.core import InstrumentMissing
from harmon_eval.instruments.weights import Weights

LAYER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
VISION: dict[str, Any] = {**LAYER, "image_size": 32, "patch_size": 8}


@pytest.fixture(scope="session")
def nowhere() -> Callable[[Weights], Path]:
    """Finds no weights."""

    def find(weights: Weights) -> Path:
        raise InstrumentMissing(weights.names[0])

    return find


@pytest.fixture(scope="session")
def vision() -> dict[str, Any]:
    return dict(VISION)


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP with a tokenizer of letters."""
    folder = tmp_path_factory.mktemp("models") / "small-clip"
    torch.manual_seed(0)
    text = {**LAYER, "vocab_size": 32, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = CLIPConfig(projection_dim=8, text_config=text, vision_config=VISION)
    CLIPModel(config).save_pretrained(folder)
    letters = {f"{letter}</w>": n for n, letter in enumerate("abcdefghij", 2)}
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, **letters}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    kind = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))
    return folder
