"""Encoders that only embed: raw pixels, VAE latents, timm, transformers; Harmon's layers.

The networks are small and random, of the classes that real weights have, loaded from files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
)

from harmon_eval import registry
from harmon_eval.adapters.harmon import HarmonResponder
from harmon_eval.core import Embed, Responder, UserError
from harmon_eval.files.views import centre_crop
from harmon_eval.model import HarmonPipeline
from harmon_eval.model.fingerprint import hash_weights

CPU = {"device": "cpu"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of several modes and shapes."""
    folder, files = tmp_path_factory.mktemp("pictures"), []
    for mode, size in (("RGB", (64, 64)), ("L", (40, 90)), ("RGBA", (70, 33)), ("P", (64, 65))):
        pixels = np.random.default_rng(len(files)).integers(0, 256, (*size, 3), dtype=np.uint8)
        files.append(folder / f"{mode}.png")
        Image.fromarray(pixels).convert(mode).save(files[-1])
    return files


def embedded(model: Responder, files: list[Path], view: int = 0) -> np.ndarray:
    return np.stack(list(model.embed([Embed(file, view) for file in files])))


def batch_does_not_matter(model: Responder, files: list[Path]) -> np.ndarray:
    together = embedded(model, files)
    alone = np.concatenate([embedded(model, [file]) for file in files])
    assert together == pytest.approx(alone, abs=1e-4)
    crops = embedded(model, files, view=1)
    assert crops.shape == together.shape and np.abs(crops - together).max() > 1e-3
    assert crops == pytest.approx(embedded(model, files, view=1), abs=1e-4)
    return together


def test_raw_pixels_are_those_of_the_centre_crop(pictures: list[Path]) -> None:
    model = registry.model("pixels:8", CPU)
    found = batch_does_not_matter(model, pictures)
    crop = np.asarray(centre_crop(Image.open(pictures[0]), 8))
    assert found[0] == pytest.approx(crop.ravel() / 127.5 - 1, abs=1e-6)
    assert embedded(registry.model("pixels", CPU), pictures).shape == (4, 3 * 32 * 32)
    with pytest.raises(UserError, match="side in pixels"):
        registry.model("pixels:0", CPU)
    with pytest.raises(UserError, match="pixels has no setting 'cfg'"):
        registry.model("pixels", {"cfg": 3.0})


def test_latents_are_what_harmons_encoder_reads(pictures: list[Path]) -> None:
    model = registry.model("vae:harmon-mini", CPU)
    found = batch_does_not_matter(model, pictures)
    pipeline = HarmonPipeline.from_pretrained("harmon-mini")
    with torch.inference_mode():
        latents = pipeline.latents([Image.open(pictures[0])])  # (1, 4, 4, 16)
    assert found[0] == pytest.approx(latents.flatten().numpy(), abs=1e-5)
    pooled = embedded(registry.model("vae:harmon-mini?grid=2", CPU), pictures[:1])
    blocks = latents[0].unflatten(0, (2, 2)).unflatten(2, (2, 2)).mean(dim=(1, 3))
    assert pooled[0] == pytest.approx(blocks.flatten().numpy(), abs=1e-5)
    for place, message in (("harmon-mini?grid=3", "does not divide"), ("none", "no model")):
        with pytest.raises(UserError, match=message):
            registry.model(f"vae:{place}", CPU)


def test_harmon_gives_the_layer_and_pooling_that_are_asked_for(pictures: list[Path]) -> None:
    """All layers at once are the layers one by one; the places of the parts say which is which."""
    every = registry.model("harmon:harmon-mini?layer=all", CPU)
    whole = batch_does_not_matter(every, pictures[:2])
    parts = every.settings["parts"]
    assert next(iter(parts)) == "final-image" and len(parts) == 4 * 3
    for part in ("final-image", "final-both", "0-buffers", "2-image", "1-both"):
        layer, pool = part.split("-")
        one = registry.model(f"harmon:harmon-mini?layer={layer}&pool={pool}", CPU)
        start, stop = parts[part]
        assert embedded(one, pictures[:2]) == pytest.approx(whole[:, start:stop], abs=1e-4)
        assert one.fingerprint == every.fingerprint
    plain = registry.model("harmon-mini", CPU)
    assert isinstance(plain, HarmonResponder) and "layer" not in plain.settings
    before = hash_weights(plain.pipeline.model.state_dict())
    assert np.array_equal(embedded(plain, pictures), embedded(plain, pictures))
    assert hash_weights(plain.pipeline.model.state_dict()) == before
    assert not plain.pipeline.model.training  # MAR's blocks have dropout
    for wrong in ("layer=3", "layer=all&pool=both", "pool=mean"):
        with pytest.raises(UserError, match=r"harmon: (layer|pool)"):
            registry.model(f"harmon:harmon-mini?{wrong}", CPU)


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As timm writes one for the hub: config.json with the preparation, and safetensors."""
    torch.manual_seed(0)
    settings = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    network = timm.create_model("vit_tiny_patch16_224", num_classes=5, **settings)
    folder = tmp_path_factory.mktemp("weights") / "tiny-vit"
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 5,
        "model_args": settings,
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "crop_pct": 0.9,
            "num_classes": 5,
            "interpolation": "bicubic",
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "classifier": "head",
            "first_conv": "patch_embed.proj",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_timm_pools_as_trained_or_as_asked(timm_folder: Path, pictures: list[Path]) -> None:
    token = registry.model(f"timm:{timm_folder}", CPU)
    found = batch_does_not_matter(token, pictures)
    assert found.shape == (4, 24) and token.settings["pool"] == "token"
    average = registry.model(f"timm:{timm_folder}?pool=avg", CPU)
    assert average.settings["pool"] == "avg"
    with torch.inference_mode():
        pixels = torch.stack([average.prepare(Image.open(f).convert("RGB")) for f in pictures])
        tokens = average.network.forward_features(pixels)  # normed as trained
    mean = tokens[:, 1:].mean(dim=1).numpy()
    assert embedded(average, pictures) == pytest.approx(mean, abs=1e-5)
    assert token.name == "timm:tiny-vit" and "[32, 32]" in token.settings["preparation"]


def test_timm_without_all_weights_is_one_line(timm_folder: Path, tmp_path: Path) -> None:
    for place in (tmp_path, "no_such_network", f"{timm_folder}?pool=map"):
        with pytest.raises(UserError, match="timm cannot load"):
            registry.model(f"timm:{place}", CPU)
    weights = load_file(timm_folder / "model.safetensors")
    del weights["blocks.1.mlp.fc1.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((timm_folder / "config.json").read_text())
    with pytest.raises(UserError, match=r"cannot load.*state_dict"):
        registry.model(f"timm:{tmp_path}", CPU)


TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def clip() -> PreTrainedModel:
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 20,
    }
    vision = {**TINY, "intermediate_size": 16}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))


def dinov2() -> PreTrainedModel:
    return Dinov2Model(Dinov2Config(**TINY))


def resnet() -> PreTrainedModel:
    return ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    )


@pytest.mark.parametrize("make", [clip, dinov2, resnet])
def test_an_encoder_of_transformers_is_pooled_as_asked(
    make: Callable[[], PreTrainedModel], tmp_path: Path, pictures: list[Path]
) -> None:
    torch.manual_seed(0)
    network = make().eval()
    network.save_pretrained(tmp_path)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    processor.save_pretrained(tmp_path)
    tower = getattr(network, "vision_model", network)
    images = [Image.open(file).convert("RGB") for file in pictures]
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        output = tower(pixel_values=pixels)
    hidden = output.last_hidden_state
    mean = hidden.mean(dim=(2, 3)) if make is resnet else hidden.mean(dim=1)
    found = batch_does_not_matter(registry.model(f"vision:{tmp_path}", CPU), pictures)
    assert found == pytest.approx(mean.numpy(), abs=1e-4)
    pooler = embedded(registry.model(f"vision:{tmp_path}?pool=pooler", CPU), pictures)
    assert pooler == pytest.approx(output.pooler_output.flatten(1).numpy(), abs=1e-4)
    first = registry.model(f"vision:{tmp_path}?pool=first", CPU)
    if make is resnet:
        with pytest.raises(UserError, match="no first token"):
            embedded(first, pictures)
    else:
        assert embedded(first, pictures) == pytest.approx(hidden[:, 0].numpy(), abs=1e-4)


def test_what_is_no_vision_encoder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no vision encoder"):
        registry.model(f"vision:{tmp_path}", CPU)
    with pytest.raises(UserError, match="pool=max"):
        registry.model(f"vision:{tmp_path}?pool=max", CPU)
    with pytest.raises(UserError, match="needs a folder or hub id"):
        registry.model("vision", CPU)
