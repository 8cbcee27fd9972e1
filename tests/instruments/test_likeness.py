"""Networks for CLIP-I and DINO-I: transforms as torchvision's, vectors as transformers'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, ViTConfig, ViTModel

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.instruments.clip.hf import DEVIATION, MEAN
from harmon_eval.instruments.likeness import cosine, prepared
from harmon_eval.instruments.weights import Weights
from harmon_eval.suites.mini.edit_images import caption
from harmon_eval.suites.mini.edits import sample_edit
from harmon_eval.suites.mini.scenes import render

LAYER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
VISION: dict[str, Any] = {**LAYER, "image_size": 32, "patch_size": 8}


def nowhere(weights: Weights) -> Path:
    raise InstrumentMissing(weights.names[0])


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
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


def test_the_transform_is_torchvisions(picture: Image.Image) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    expected = transforms.Compose(
        [
            transforms.Resize(37, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )(picture)
    assert torch.allclose(prepared(picture, 37, 32, MEAN, DEVIATION)[0], expected, atol=1e-5)


def test_clip_gives_what_transformers_gives_for_images_and_texts(
    clip_folder: Path, picture: Image.Image
) -> None:
    clip = registry.instrument("clip", f"hf:{clip_folder}", nowhere)
    assert clip.name == "small-clip" and "sha256:" in clip.identity
    model = CLIPModel.from_pretrained(clip_folder).eval()
    with torch.inference_mode():
        pixels = prepared(picture, 32, 32, MEAN, DEVIATION)
        seen = model.visual_projection(model.vision_model(pixels).pooler_output)[0].numpy()
        ids = clip.tokenizer("a b j", return_tensors="pt")
        read = model.text_projection(model.text_model(**ids).pooler_output)[0].numpy()
    assert clip.images([picture, picture])[1] == pytest.approx(seen, abs=1e-5)
    assert clip.texts(["a b j"])[0] == pytest.approx(read, abs=1e-5)
    assert clip.texts(["a " * 200]).shape == (1, 8)


def test_dino_gives_the_class_token_after_the_last_norm(
    tmp_path: Path, picture: Image.Image
) -> None:
    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**VISION), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path / "small-dino")
    dino = registry.instrument("dino", f"hf:{tmp_path / 'small-dino'}", nowhere)
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.inference_mode():
        expected = model(pixel_values=prepared(picture, 37, 32, *imagenet)).last_hidden_state
    assert dino.images([picture])[0] == pytest.approx(expected[0, 0].numpy(), abs=1e-5)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstrumentMissing, match="clip-vit-base-patch32"):
        registry.instrument("clip", "hf", nowhere)
    with pytest.raises(UserError, match=r"has no config\.json"):
        registry.instrument("dino", f"hf:{tmp_path}", nowhere)


def test_an_image_of_the_mini_world_has_its_captions_vector() -> None:
    clip = registry.instrument("clip", "mini", nowhere)
    scenes = [sample_edit(np.random.default_rng(n)).source for n in range(12)]
    seen = clip.images([Image.fromarray(render(scene)) for scene in scenes])
    assert (seen == clip.texts([caption(scene) for scene in scenes])).all(axis=1).mean() > 0.9


def test_a_cosine_with_nothing_is_zero() -> None:
    assert cosine(np.zeros(2), np.ones(2)) == 0
    assert cosine(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx(24 / 25)
