"""Models of what people prefer: the loading code on small random models of the same classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertTokenizer,
    BlipTextConfig,
    BlipTextModel,
    BlipVisionConfig,
    BlipVisionModel,
    CLIPModel,
)

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing, Unscorable, UserError
from harmon_eval.instruments.measure import aesthetic, hps, imagereward

Find = Callable[..., Path]


def layers(*sizes: int, prefix: str = "layers.") -> dict[str, torch.Tensor]:
    """Five linear layers under the original's numbers."""
    torch.manual_seed(1)
    found = {}
    for n, inside, outside in zip(aesthetic.LAYERS, sizes, sizes[1:], strict=False):
        found[f"{prefix}{n}.weight"] = torch.randn(outside, inside) / inside**0.5
        found[f"{prefix}{n}.bias"] = torch.randn(outside)
    return found


def by_hand(state: dict[str, torch.Tensor], x: torch.Tensor, prefix: str = "layers.") -> float:
    for n in aesthetic.LAYERS:
        x = torch.nn.functional.linear(x, state[f"{prefix}{n}.weight"], state[f"{prefix}{n}.bias"])
    return float(x)


def test_pickscore_is_the_scaled_cosine(
    clip_folder: Path, picture: Image.Image, nowhere: Find
) -> None:
    pick = registry.instrument("measure", f"pickscore:{clip_folder}", nowhere)
    cosine = registry.instrument("measure", f"clipscore:{clip_folder}?recipe=cosine", nowhere)
    scale = float(CLIPModel.from_pretrained(clip_folder).logit_scale.detach().exp())
    (expected,) = cosine.measure([picture], ["a b"])
    assert pick.measure([picture], ["a b"]) == [pytest.approx(scale * expected, rel=1e-6)]
    assert isinstance(pick.measure([picture], [""])[0], Unscorable)


def test_the_aesthetic_predictor_is_linear_in_the_unit_vector(
    clip_folder: Path, picture: Image.Image, tmp_path: Path, nowhere: Find
) -> None:
    """And needs no text."""
    state = layers(8, 16, 8, 6, 4, 1)
    torch.save(state, tmp_path / aesthetic.FILE)
    found = registry.instrument(
        "measure", f"aesthetic:{clip_folder}", lambda w: tmp_path / w.names[0]
    )
    clip = registry.instrument("clip", f"hf:{clip_folder}", nowhere)
    vector = torch.from_numpy(clip.images([picture])[0])
    expected = by_hand(state, vector / vector.norm())
    assert found.measure([picture], [""]) == [pytest.approx(expected, abs=1e-5)]
    torch.save(layers(9, 16, 8, 6, 4, 1), tmp_path / aesthetic.FILE)
    with pytest.raises(UserError, match="does not fit small-clip"):
        registry.instrument("measure", f"aesthetic:{clip_folder}", lambda w: tmp_path / w.names[0])


def test_a_picture_for_hps_is_whole_on_black(picture: Image.Image) -> None:
    """As torchvision's resize and pad of a tensor, which the original calls."""
    transforms = pytest.importorskip("torchvision.transforms.functional")
    tensor = transforms.to_tensor(picture)
    sized = transforms.resize(tensor, [21, 32], transforms.InterpolationMode.BICUBIC)
    whole = transforms.pad(sized, [0, 5, 0, 6])
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = transforms.normalize(whole, list(mean), list(deviation))
    assert torch.allclose(hps.prepared(picture, 32)[0], expected, atol=1e-5)
    assert hps.prepared(picture.resize((32, 20)), 32).shape == (1, 3, 32, 32)


def test_hps_is_open_clips_cosine(tmp_path: Path, picture: Image.Image) -> None:
    open_clip = pytest.importorskip("open_clip")
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 1,
            "layers": 1,
        },
    }
    (tmp_path / "small-h.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    model = open_clip.create_model("small-h", pretrained=None).eval()
    file = tmp_path / "HPS_v2.1_compressed.pt"
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, file)
    found = hps.Hps(file, "2.1", "small-h")
    assert found.name == "hps-2.1"
    with torch.inference_mode():
        seen = model.encode_image(hps.prepared(picture, 32), normalize=True)
        read = model.encode_text(open_clip.tokenize(["a red kettle"]), normalize=True)
    assert found.measure([picture], ["a red kettle"]) == [
        pytest.approx(float((seen * read).sum()), abs=1e-5)
    ]
    torch.save({"state_dict": {"x": torch.zeros(1)}}, file)
    with pytest.raises(UserError, match="does not fit small-h"):
        hps.Hps(file, "2.1", "small-h")


@pytest.fixture
def reward_file(tmp_path: Path) -> Path:
    """ImageReward's file of a small BLIP, under BLIP's names, and a vocabulary."""
    torch.manual_seed(0)
    vision = BlipVisionModel(
        BlipVisionConfig(
            hidden_size=64,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=1,
            image_size=32,
            patch_size=16,
            layer_norm_eps=1e-6,
            initializer_range=0.02,
        )
    )
    text = BlipTextModel(
        BlipTextConfig(
            vocab_size=20,
            hidden_size=64,
            encoder_hidden_size=64,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=40,
        ),
        add_pooling_layer=False,
    )
    back = {
        "embeddings.class_embedding": "cls_token",
        "embeddings.position_embedding": "pos_embed",
        "embeddings.patch_embedding": "patch_embed.proj",
        "encoder.layers": "blocks",
        "layer_norm": "norm",
        "self_attn.projection": "attn.proj",
        "self_attn.qkv": "attn.qkv",
        "post_layernorm": "norm",
    }
    state = {}
    for name, value in vision.state_dict().items():
        for theirs, own in back.items():
            name = name.replace(theirs, own)
        state[imagereward.VISION + name] = value
    state |= {imagereward.TEXT + name: value for name, value in text.state_dict().items()}
    state[imagereward.TEXT + "embeddings.position_ids"] = torch.arange(40)[None]
    state |= layers(64, 16, 8, 6, 4, 1, prefix=imagereward.HEAD)
    file = tmp_path / "ImageReward.pt"
    torch.save(state, file)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "red", "kettle"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    return file


def test_imagereward_reads_its_file_into_blip(
    reward_file: Path, picture: Image.Image, nowhere: Find
) -> None:
    """Standardised; image and text both matter, in either network's own way of padding."""
    found = registry.instrument("measure", f"imagereward:{reward_file}", nowhere)
    assert found.name == "imagereward-1.0"
    state = torch.load(reward_file)
    tokenizer = BertTokenizer.from_pretrained(reward_file.parent)
    ids = tokenizer(
        "a red kettle", padding="max_length", truncation=True, max_length=35, return_tensors="pt"
    )
    with torch.inference_mode():
        pixels = imagereward.prepared(picture, 32, 32, imagereward.MEAN, imagereward.DEVIATION)
        seen = found.vision(pixel_values=pixels).last_hidden_state
        read = found.text(
            input_ids=ids.input_ids,
            attention_mask=ids.attention_mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(1, 5),
        ).last_hidden_state[0, 0]
    raw = by_hand(state, read, imagereward.HEAD)
    (one,) = found.measure([picture], ["a red kettle"])
    assert one == pytest.approx((raw - 0.1671736) / 1.0333395, abs=1e-4)
    other = Image.fromarray(255 - np.asarray(picture))
    values = found.measure([picture, other, picture], ["a photo", "a red kettle", "kettle"])
    assert len({one, *values}) == 4


def test_what_is_missing_or_does_not_fit_is_named(
    tmp_path: Path, reward_file: Path, nowhere: Find
) -> None:
    for name, file in (
        ("pickscore", "PickScore_v1"),
        ("aesthetic", "sac"),
        ("hps", "HPS_v2.1_compressed"),
        ("hps?version=2.0", "HPS_v2_compressed"),
        ("imagereward", "ImageReward.pt"),
    ):
        with pytest.raises(InstrumentMissing, match=file):
            registry.instrument("measure", name, nowhere)
    torch.save({"blip.other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="does not fit ImageReward"):
        imagereward.ImageReward(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("nothing")
    with pytest.raises(UserError, match="holds no weights of ImageReward"):
        imagereward.ImageReward(tmp_path / "text.pt")
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"vocab\.txt is missing"):
        imagereward.ImageReward(reward_file)


def test_a_file_that_would_run_something_is_not_opened(tmp_path: Path, capsys: Any) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("opened",)

    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="holds no weights"):
        aesthetic.read_state(tmp_path / "evil.pt", "HPS")
    assert "opened" not in capsys.readouterr().out
