"""Networks of FD-DINOv2 and CMMD: small ones of the real classes, and the published resizing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPModel, Dinov2Config, Dinov2Model

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.instruments.features.dinov2 import DinoFeatures, resized_positions
from harmon_eval.metrics.fid_images import feature_batches, prepare

Find = Callable[..., Path]


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory: pytest.TempPathFactory, vision: dict[str, Any]) -> Path:
    """Positions of 37 x 37 patches, as published."""
    folder = tmp_path_factory.mktemp("models") / "small-dinov2"
    torch.manual_seed(0)
    layer = {**vision, "image_size": 37 * 14, "patch_size": 14}
    layer.pop("intermediate_size")
    Dinov2Model(Dinov2Config(**layer, mlp_ratio=1)).save_pretrained(folder)
    return folder


def test_positions_are_resized_as_the_hub_resizes_them() -> None:
    """A ramp along x: patch i of 16 lies at (i + 1/2) 37 / 16.1 - 1/2, not at 37 / 16. PyTorch's
    cubic filter bends a ramp by up to 0.06."""
    ramp = torch.arange(37.0).expand(37, 37).reshape(1, -1, 1)
    token = torch.full((1, 1, 1), 99.0)
    found = resized_positions(torch.cat([token, ramp], 1), 16)
    assert found.shape == (1, 257, 1) and found[0, 0, 0] == 99
    row = found[0, 1:, 0].reshape(16, 16)[5]
    at = (np.arange(16) + 0.5) * 37 / 16.1 - 0.5
    assert row[2:-2].numpy() == pytest.approx(at[2:-2], abs=0.06)
    plain = nn.functional.interpolate(ramp.reshape(1, 1, 37, 37), size=(16, 16), mode="bicubic")
    assert float((plain[0, 0, 5] - row)[10:14].min()) > 0.08
    same = torch.randn(1, 257, 3)
    assert resized_positions(same, 16) is same


def test_fd_dinov2_reads_the_class_token_of_squashed_pictures(
    dino_folder: Path, picture: Image.Image, nowhere: Find
) -> None:
    net = registry.instrument("features", f"dinov2:{dino_folder}", nowhere)
    assert (net.name, net.side, net.protocol) == ("small-dinov2", 224, "squash")
    model = Dinov2Model.from_pretrained(dino_folder).eval()
    as_published = resized_positions(model.embeddings.position_embeddings.data, 16)
    squashed = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    mean, deviation = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    pixels = torch.from_numpy(((squashed / 255 - mean) / deviation).transpose(2, 0, 1)[None])
    with torch.inference_mode():
        by_size = model(pixels.float()).pooler_output[0].numpy()
        model.embeddings.position_embeddings = nn.Parameter(as_published)
        out = model(pixels.float())
    (found,) = next(feature_batches([np.asarray(picture)], net, net.protocol))
    assert found == pytest.approx(out.pooler_output[0].numpy(), abs=1e-5)
    assert (out.pooler_output == out.last_hidden_state[:, 0]).all()
    assert np.abs(found - by_size).max() > 1e-6, "the positions of transformers are others"


def test_cmmd_reads_the_projected_vector_of_the_middle_square(
    clip_folder: Path, picture: Image.Image, nowhere: Find
) -> None:
    net = registry.instrument("features", f"cmmd:{clip_folder}", nowhere)
    assert (net.name, net.side, net.protocol) == ("small-clip", 32, "square")
    middle = picture.crop((12, 0, 57, 45)).resize((32, 32), Image.Resampling.BICUBIC)
    assert (
        prepare(np.asarray(picture), "square", 32) == np.asarray(middle).transpose(2, 0, 1)
    ).all()
    mean = np.array((0.48145466, 0.4578275, 0.40821073))
    deviation = np.array((0.26862954, 0.26130258, 0.27577711))
    pixels = ((np.asarray(middle) / 255 - mean) / deviation).transpose(2, 0, 1)[None]
    model = CLIPModel.from_pretrained(clip_folder).eval()
    with torch.inference_mode():
        seen = model.get_image_features(torch.from_numpy(pixels).float()).pooler_output[0]
    images = [np.asarray(picture), 255 - np.asarray(picture), np.asarray(picture)]
    found = next(feature_batches(images, net, net.protocol))
    assert found[0] == pytest.approx(seen.numpy(), abs=1e-5)
    alone = next(feature_batches(images[:1], net, net.protocol))
    assert (found[0] == found[2]).all() and (alone[0] == found[0]).all()


def test_what_is_missing_or_does_not_fit_is_named(
    clip_folder: Path, dino_folder: Path, nowhere: Find
) -> None:
    with pytest.raises(InstrumentMissing, match="dinov2-large"):
        registry.instrument("features", "dinov2", nowhere)
    with pytest.raises(InstrumentMissing, match="clip-vit-large-patch14-336"):
        registry.instrument("features", "cmmd", nowhere)
    with pytest.raises(UserError, match="patches of 14"):
        DinoFeatures(dino_folder, side=220)


def test_a_folder_that_lacks_weights_is_refused_and_nothing_is_filled_in_at_random(
    clip_folder: Path, dino_folder: Path, tmp_path: Path, nowhere: Find
) -> None:
    for folder, role, name in ((clip_folder, "clip", "hf"), (dino_folder, "features", "dinov2")):
        cut = tmp_path / role
        shutil.copytree(folder, cut)
        tensors = load_file(cut / "model.safetensors")
        tensors.pop(next(key for key in tensors if "layer.0" in key or "layers.0" in key))
        save_file(tensors, cut / "model.safetensors", {"format": "pt"})
        with pytest.raises(UserError, match="1 weights are missing or of another shape"):
            registry.instrument(role, f"{name}:{cut}", nowhere)
