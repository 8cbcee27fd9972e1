"""Networks for CLIP-I and DINO-I: transforms as torchvision's, vectors as transformers'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, ViTConfig, ViTModel

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.instruments.clip.hf import DEVIATION, MEAN
from harmon_eval.instruments.likeness import cosine, prepared
from harmon_eval.suites.mini.edit_images import caption
from harmon_eval.suites.mini.edits import sample_edit
from harmon_eval.suites.mini.scenes import render

Find = Callable[..., Path]


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
    clip_folder: Path, picture: Image.Image, nowhere: Find
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
    tmp_path: Path, picture: Image.Image, vision: dict[str, Any], nowhere: Find
) -> None:
    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**vision), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path / "small-dino")
    dino = registry.instrument("dino", f"hf:{tmp_path / 'small-dino'}", nowhere)
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.inference_mode():
        expected = model(pixel_values=prepared(picture, 37, 32, *imagenet)).last_hidden_state
    assert dino.images([picture])[0] == pytest.approx(expected[0, 0].numpy(), abs=1e-5)


def test_what_is_missing_is_named(tmp_path: Path, nowhere: Find) -> None:
    with pytest.raises(InstrumentMissing, match="clip-vit-base-patch32"):
        registry.instrument("clip", "hf", nowhere)
    with pytest.raises(UserError, match=r"has no config\.json"):
        registry.instrument("dino", f"hf:{tmp_path}", nowhere)


def test_an_image_of_the_mini_world_has_its_captions_vector(nowhere: Find) -> None:
    clip = registry.instrument("clip", "mini", nowhere)
    scenes = [sample_edit(np.random.default_rng(n)).source for n in range(12)]
    seen = clip.images([Image.fromarray(render(scene)) for scene in scenes])
    assert (seen == clip.texts([caption(scene) for scene in scenes])).all(axis=1).mean() > 0.9


def test_a_cosine_with_nothing_is_zero() -> None:
    assert cosine(np.zeros(2), np.ones(2)) == 0
    assert cosine(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx(24 / 25)
