"""The feature networks: what the mini one reacts to, and how the Inception file is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import nn

from harmon_eval import registry, suites
from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.instruments.features.inception import InceptionFeatures, self_test
from harmon_eval.instruments.features.mini import MINI_WEIGHTS, MiniFeatures
from harmon_eval.metrics.fid_images import feature_batches
from harmon_eval.metrics.frechet import FrechetStatistics, frechet_distance
from harmon_eval.store.digests import sha256_of
from harmon_eval.suites.mini.scenes import Item, Scene, render, sample_scene

COUNT = 200


@pytest.fixture(scope="module")
def net() -> Any:
    return MiniFeatures()


@pytest.fixture(scope="module")
def scenes() -> Any:
    rng = np.random.default_rng(11)
    return [sample_scene(rng) for _ in range(2 * COUNT)]


@pytest.fixture(scope="module")
def fid(net: Any, scenes: Any) -> Any:
    def statistics(images: Any) -> Any:
        return FrechetStatistics.of(np.concatenate([*feature_batches(images, net, "playground")]))

    reference = statistics([render(s) for s in scenes[COUNT:]])

    def distance(images: Any) -> Any:
        return frechet_distance(statistics(images), reference)

    return distance


def blurred(image: Any, radius: Any) -> Any:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def noisy(image: Any, sigma: Any, rng: Any) -> Any:
    return (image + rng.normal(0, sigma, image.shape)).clip(0, 255).astype(np.uint8)


def test_more_blur_is_farther(fid: Any, scenes: Any) -> None:
    images = [render(s) for s in scenes[:COUNT]]
    values = [fid([blurred(i, r) for i in images]) for r in (0, 0.7, 1.5, 3)]
    assert values == sorted(values)
    assert values[-1] > 3 * values[0]


def test_more_noise_is_farther(fid: Any, scenes: Any) -> None:
    rng = np.random.default_rng(0)
    images = [render(s) for s in scenes[:COUNT]]
    values = [fid([noisy(i, sigma, rng) for i in images]) for sigma in (0, 10, 20, 40)]
    assert values == sorted(values)
    assert values[-1] > 3 * values[0]


def test_objects_of_one_colour_only_are_farther_the_more_there_are(fid: Any, scenes: Any) -> None:
    values = []
    for share in (0.0, 0.5, 1.0):
        changed = [
            Scene(tuple(Item(i.shape, "red", i.x, i.y, i.radius) for i in s.items), s.background)
            if n < share * COUNT
            else s
            for n, s in enumerate(scenes[:COUNT])
        ]
        values.append(fid([render(s) for s in changed]))
    assert values == sorted(values)
    assert values[-1] > 3 * values[0]


def test_missing_objects_are_farther_the_more_there_are(fid: Any, scenes: Any) -> None:
    values = []
    for share in (0.0, 0.5, 1.0):
        empty = [
            Scene((), s.background) if n < share * COUNT else s
            for n, s in enumerate(scenes[:COUNT])
        ]
        values.append(fid([render(s) for s in empty]))
    assert values == sorted(values)


def test_the_bundled_weights_are_small_and_tell_their_origin(net: Any) -> None:
    assert MINI_WEIGHTS.stat().st_size < 2**20
    assert net.provenance["command"].startswith("python -m harmon_eval.scoring.train_mini")
    assert net.provenance["commit"] != "unknown"
    assert net.provenance["accuracy"]["count"] > 0.95
    assert net.provenance["accuracy"]["color_counts"] > 0.95
    assert "sha256" in net.identity


def test_features_are_of_unit_scale_and_do_not_depend_on_the_batch(net: Any, scenes: Any) -> None:
    pixels = np.stack([render(s).transpose(2, 0, 1) for s in scenes[:COUNT]]).astype(np.float32)
    features = net(pixels)
    assert features.shape == (COUNT, 64)
    assert features.dtype == np.float32
    assert 0.3 < features.std() < 3
    alone = np.concatenate([net(pixels[i : i + 1]) for i in range(10)])
    np.testing.assert_array_equal(alone, features[:10])


def test_damaged_or_absent_mini_weights_are_a_clear_error(tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(MINI_WEIGHTS.read_bytes()[:5000])
    for path in (cut, tmp_path / "absent.safetensors"):
        with pytest.raises(UserError, match=path.name):
            MiniFeatures(path)


# -- Inception: a stand-in of the same outer form, since the published file is not bundled --------


class StandIn(nn.Module):
    """As the published TorchScript file: ``layers`` gives the features of prepared pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 2048, 16, stride=32), nn.Tanh(), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x * 0)


@pytest.fixture
def inception_file(tmp_path: Path) -> Any:
    torch.manual_seed(0)
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.save(torch.jit.script(StandIn().eval()), str(path))
    return path


def test_inception_features_equal_clean_fids(inception_file: Any) -> None:
    from cleanfid.inception_torchscript import InceptionV3W

    pixels = np.random.default_rng(0).uniform(0, 255, size=(3, 3, 299, 299)).astype(np.float32)
    with torch.inference_mode():
        theirs = InceptionV3W(str(inception_file.parent), download=False)(torch.from_numpy(pixels))
    ours = InceptionFeatures(inception_file, "cpu", sha256_of(inception_file))(pixels)
    assert ours.shape == (3, 2048)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


class Normalised(nn.Module):
    """A convolution with a batch norm that has no scale, both as plain functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2048, 192, 1, 1))
        self.beta, self.mean = nn.Parameter(torch.randn(2048)), nn.Parameter(torch.randn(2048))
        self.var = nn.Parameter(torch.rand(2048) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.conv2d(x, self.weight)
        x = nn.functional.batch_norm(x, self.mean, self.var, None, self.beta, False, 0.0, 1e-3)
        return nn.functional.relu(x).mean(dim=(2, 3), keepdim=True)


def save_layers(folder: Path, *layers: Any) -> Any:
    """A file in the outer form of the published one, with random weights and batch statistics."""
    torch.manual_seed(0)
    module = StandIn()
    module.layers = nn.Sequential(*layers)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    torch.jit.save(torch.jit.script(module.eval()), str(folder / "inception-2015-12-05.pt"))
    return folder / "inception-2015-12-05.pt"


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All layers of Inception v3, of torchvision."""
    from torchvision.models import inception_v3

    whole = inception_v3(aux_logits=False, init_weights=False)
    parts = [part for name, part in whole.named_children() if name not in ("dropout", "fc")]
    return save_layers(tmp_path_factory.mktemp("inception"), *parts)


def test_folding_batch_norms_into_convolutions_leaves_the_features_as_they_are(
    random_inception: Any, tmp_path: Path
) -> None:
    stem = [nn.Conv2d(3, 192, 9, stride=4, bias=False), nn.BatchNorm2d(192, eps=1e-3)]
    plain = save_layers(tmp_path, *stem, Normalised())
    for file, side in ((random_inception, 75), (plain, 64)):
        net = InceptionFeatures(file, "cpu", sha256_of(file))
        assert "batch_norm" not in str(net.layers.inlined_graph)
        pixels = np.random.default_rng(1).uniform(0, 255, (16, 3, side, side)).astype(np.float32)
        with torch.inference_mode():
            published = torch.jit.load(str(file)).layers
            expected = published((torch.from_numpy(pixels) - 128) / 128).flatten(1).numpy()
        assert np.abs(net(pixels) - expected).max() < 1e-4 * expected.std()


def test_inception_features_do_not_depend_on_what_else_is_in_the_batch(
    random_inception: Any,
) -> None:
    """To the last bit: a picture that is drawn again is marked alone."""
    net = InceptionFeatures(random_inception, "cpu", sha256_of(random_inception))
    pixels = np.random.default_rng(2).uniform(0, 255, (17, 3, 75, 75)).astype(np.float32)
    together = net(pixels)
    for count in (1, 5, 16):
        np.testing.assert_array_equal(net(pixels[:count]), together[:count])
    last = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(net(last), together)


def opened(sha256: str = "") -> Any:
    """The network as a run opens it."""
    chosen = {"features": f"inception?sha256={sha256}"} if sha256 else {}
    suite = suites.load("official", instruments=chosen)
    return suite.instrument("features", registry.task("mjhq"))


def test_inception_is_found_in_the_cache_folder(
    inception_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(inception_file.parent))
    digest = sha256_of(inception_file)
    assert opened(digest).identity == f"inception-2015-12-05.pt sha256:{digest[:16]}"


def test_inception_is_not_taken_from_the_temporary_folder(
    inception_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where clean-fid keeps it: any user of a machine may put a file there."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(inception_file.parent))
    with pytest.raises(InstrumentMissing) as error:
        opened(sha256_of(inception_file))
    assert str(tmp_path / "empty/weights/inception-2015-12-05.pt") in str(error.value)
    assert "https://" in str(error.value)


def test_a_program_with_another_digest_is_not_opened(
    inception_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(inception_file.parent))
    monkeypatch.setattr("torch.jit.load", None)
    for digest in ("", "0" * 64):
        with pytest.raises(UserError, match=r"SHA-256 differs.*is not opened"):
            opened(digest)
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        opened("f58cb9b6")


def test_another_file_under_that_name_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "inception-2015-12-05.pt"
    file.write_bytes(b"not found")
    with pytest.raises(UserError, match="is not clean-fid's Inception network"):
        InceptionFeatures(file, "cpu", sha256_of(file))


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        (lambda x: np.full((len(x), 4), np.nan), "not finite"),
        (lambda x: np.ones((len(x), 4)), "a photograph and its negative get the same"),
        (lambda x: np.arange(4.0 * len(x)).reshape(-1, 4), "different features in one batch"),
    ],
)
def test_a_network_that_gives_nonsense_fails_its_self_test(
    inception_file: Any, monkeypatch: pytest.MonkeyPatch, gives: Callable[..., Any], words: str
) -> None:
    features = InceptionFeatures(inception_file, "cpu", sha256_of(inception_file))
    monkeypatch.setattr(InceptionFeatures, "__call__", lambda self, pixels: gives(pixels))
    with pytest.raises(UserError, match=f"self-test: .*{words}"):
        self_test(features)
