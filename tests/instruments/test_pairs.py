"""LPIPS, structure distance and diversity: networks of the real classes with random weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
from transformers import ViTConfig, ViTModel

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing, Unscorable, UserError
from harmon_eval.instruments.likeness import self_similarity
from harmon_eval.instruments.lpips import squeeze
from harmon_eval.instruments.lpips._network import Lpips

Find = Callable[..., Path]


def image(seed: int, side: int = 64) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torch.hub's folder with a random SqueezeNet under the published name."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    torch.manual_seed(0)
    weights = torchvision.models.squeezenet1_1().state_dict()
    torch.save(weights, folder / "checkpoints" / squeeze.FILE)
    return folder


def test_lpips_is_torchmetrics_on_the_users_file(
    hub: Path, nowhere: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From torch.hub's folder or beside other weights; the original's call gives the same."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(hub))
    lpips = registry.instrument("lpips", "squeeze", nowhere)
    beside = registry.instrument("lpips", "squeeze", lambda w: hub / "checkpoints" / w.names[0])
    assert lpips.identity == beside.identity and lpips.name.startswith("squeeze@")
    first, second = image(0), image(1)
    pair = [
        torch.from_numpy(np.array(one, np.float32) / 255).permute(2, 0, 1)[None] * 2 - 1
        for one in (first, second)
    ]
    expected = float(learned_perceptual_image_patch_similarity(*pair, net_type="squeeze"))
    found = lpips.compare([first, first, second], [second, first, first])
    assert found == [pytest.approx(expected, rel=1e-4), 0.0, pytest.approx(expected, rel=1e-4)]


def test_lpips_of_white_and_black_by_hand(tmp_path: Path) -> None:
    """AlexNet that passes red on in channel 1 and a constant 1 in channel 0; all else is 0.

    Red is (1 + 0.030) / 0.458 = 2.24891 in white and below 0, so cut to 0, in black. At unit length
    (1, 2.24891) is (0.40630, 0.91374), and (1, 0) stays. The published weights of these channels
    are 3.788e-6 and 0.147501: 3.788e-6 (1 - 0.40630)^2 + 0.147501 * 0.91374^2 = 0.123153."""
    network = torchvision.models.alexnet().features
    for weights in network.parameters():
        weights.data.zero_()
    network[0].weight.data[1, 0, 5, 5] = 1
    network[0].bias.data[0] = 1
    file = tmp_path / "alexnet.pth"
    torch.save({f"features.{name}": own for name, own in network.state_dict().items()}, file)
    white, black = (Image.new("RGB", (64, 64), name) for name in ("white", "black"))
    found = Lpips("alex", file, "").compare([white, black, white], [black, white, white])
    assert found == [pytest.approx(0.123153, abs=1e-6), pytest.approx(0.123153, abs=1e-6), 0.0]


def test_lpips_of_what_it_cannot_measure_is_unscored(
    hub: Path, nowhere: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(hub))
    lpips = registry.instrument("lpips", "squeeze", nowhere)
    small, other = lpips.compare([image(0, 32), image(0)], [image(1, 32), image(1, 80)])
    assert isinstance(small, Unscorable) and "below 64 pixels" in str(small)
    assert isinstance(other, Unscorable) and "one size" in str(other)


def test_lpips_names_the_file_that_is_missing_or_another(
    tmp_path: Path, nowhere: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    for name, file in (("alex", "alexnet-owt"), ("vgg", "vgg16"), ("squeeze", "squeezenet1_1")):
        with pytest.raises(InstrumentMissing, match=file):
            registry.instrument("lpips", name, nowhere)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for file in ("other.pth", "text.pth"):
        with pytest.raises(UserError, match=f"{file} holds no weights that LPIPS needs"):
            registry.instrument("lpips", "squeeze", lambda w, file=file: tmp_path / file)


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory: pytest.TempPathFactory, vision: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small-vit"
    torch.manual_seed(0)
    ViTModel(ViTConfig(**vision), add_pooling_layer=False).save_pretrained(folder)
    return folder


def test_structure_distance_is_that_of_the_last_layers_keys(
    dino_folder: Path, nowhere: Find
) -> None:
    """As PnPInversion: 0 to 255 with ImageNet's mean and deviation, cosines, mean square."""
    structure = registry.instrument("structure", f"dino:{dino_folder}", nowhere)
    model = ViTModel.from_pretrained(dino_folder, add_pooling_layer=False).eval()
    weights = model.state_dict()
    maps = []
    for one in (image(0), image(1)):
        x = torch.from_numpy(np.array(one, np.float32)).permute(2, 0, 1)
        mean, deviation = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
        x = torch.nn.functional.interpolate(x[None], size=(32, 32), mode="bilinear")
        x = (x - mean[:, None, None]) / deviation[:, None, None]
        with torch.inference_mode():
            before = model(x, output_hidden_states=True).hidden_states[-2]
            found = {}
            for part in ("layernorm_before", "key", "k_proj"):
                for kind in ("weight", "bias"):
                    names = [n for n in weights if n.endswith(f".{part}.{kind}")]
                    found[part, kind] = weights[names[-1]] if names else None
            norm = torch.nn.functional.layer_norm(
                before,
                (16,),
                found["layernorm_before", "weight"],
                found["layernorm_before", "bias"],
                model.config.layer_norm_eps,
            )
            name = "key" if found["key", "weight"] is not None else "k_proj"
            keys = norm @ found[name, "weight"].T + found[name, "bias"]
        unit = torch.nn.functional.normalize(keys[0], dim=1)
        maps.append(unit @ unit.T)
    assert maps[0].shape == (17, 17)
    expected = float((maps[0] - maps[1]).square().mean())
    assert structure.compare([image(0)], [image(1)]) == [pytest.approx(expected, rel=1e-3)]
    assert structure.compare([image(0)], [image(0)]) == [0.0]
    assert structure.keys(image(0).resize((96, 64))).shape == (1 + 6 * 4, 16)


def test_self_similarity_by_hand() -> None:
    found = self_similarity(torch.tensor([[3.0, 0.0], [4.0, 3.0], [0.0, 0.0]]))
    assert found.tolist() == [pytest.approx(r) for r in ([1, 0.8, 0], [0.8, 1, 0], [0, 0, 0])]


def test_what_is_missing_is_named(nowhere: Find) -> None:
    with pytest.raises(InstrumentMissing, match="dino-vitb8"):
        registry.instrument("structure", "dino", nowhere)
    with pytest.raises(InstrumentMissing, match="dino-vits16"):
        registry.instrument("diversity", "dino", nowhere)


def test_diversity_is_the_mean_distance_of_all_pairs(
    hub: Path, dino_folder: Path, nowhere: Find
) -> None:
    """OneIG: four images are six pairs; equal images have none; one image has no diversity."""
    four = [image(seed) for seed in range(4)]
    vit = registry.instrument("dino", f"hf:{dino_folder}", nowhere)
    vectors = vit.images(four).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    six = [1 - a @ b for a, b in itertools.combinations(unit, 2)]
    by_dino = registry.instrument("diversity", f"dino:{dino_folder}", nowhere)
    assert by_dino.spread(four) == pytest.approx(np.mean(six), abs=1e-6)
    mini = registry.instrument("diversity", "mini", nowhere)
    lpips = registry.instrument("lpips", "mini", nowhere)
    assert mini.spread(four[:2]) == lpips.compare(four[:1], four[1:2])[0] > 0
    for one in (by_dino, mini):
        assert one.spread([four[0]] * 3) == pytest.approx(0, abs=1e-6)
        assert isinstance(one.spread(four[:1]), Unscorable)
    assert mini.spread([four[0], four[0].resize((32, 32))]) > 0


def test_the_mini_worlds_distances_are_of_the_same_and_of_others(nowhere: Find) -> None:
    for role in ("lpips", "structure"):
        mini = registry.instrument(role, "mini", nowhere)
        same, other = mini.compare([image(0)] * 2, [image(0), image(1)])
        assert same == 0 < other
