"""Preparation and FID of image folders against clean-fid itself."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cleanfid import fid as clean_fid
from cleanfid.resize import build_resizer
from PIL import Image

from harmon_eval.core import Unscorable, UserError
from harmon_eval.metrics.fid_images import (
    PROTOCOLS,
    centre_crop_256,
    feature_batches,
    find_images,
    prepare,
)
from harmon_eval.metrics.frechet import FrechetStatistics, frechet_distance

WIDTH = 24
COUNT = 120  # a set
CPU = torch.device("cpu")


class Projection:
    """A fixed random projection of 13 x 13 averages and their squares: a tiny feature network."""

    name = "projection"
    identity = "projection-1"
    side = 299

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(2 * 3 * 13 * 13, WIDTH, generator=generator) / 20

    def of_tensor(self, pixels: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.avg_pool2d((pixels - 128) / 128, 23)
        fine = torch.nn.functional.avg_pool2d(((pixels - 128) / 128) ** 2, 23)
        return torch.cat([x, fine], dim=1).flatten(1) @ self.matrix

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self.of_tensor(torch.from_numpy(pixels)).numpy()


def pictures(seed: int, count: int) -> list[np.ndarray]:
    """Soft random blobs with a little noise, of different sizes and shapes."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(count):
        size = [(96, 80), (64, 64), (120, 90), (200, 310)][i % 4]
        small = rng.integers(0, 256, size=(6, 5, 3)).astype(np.uint8)
        image = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
        noisy = image + rng.normal(0, 6 + 6 * (seed % 2), size=image.shape)
        images.append(noisy.clip(0, 255).astype(np.uint8))
    return images


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two folders of images in sub-folders and several formats, and the arrays."""
    sets = []
    for seed in (0, 1):
        root = tmp_path_factory.mktemp(f"set{seed}")
        images = pictures(seed, COUNT)
        for i, image in enumerate(images):
            folder = root / ("art" if i % 2 else "logo")
            folder.mkdir(exist_ok=True)
            mode, suffix = [("RGB", "png"), ("RGBA", "png"), ("L", "PNG"), ("P", "bmp")][i // 3 % 4]
            picture = Image.fromarray(image)
            picture = picture.convert("RGB") if mode == "P" else picture.convert(mode)
            picture.save(folder / f"{i:03d}.{suffix}")
        (root / "notes.txt").write_text("not an image")
        (root / "case.Png").write_text("clean-fid does not look at this one either")
        sets.append((root, images))
    return sets


def ours(a: Any, b: Any, protocol: Any, batch_size: int = 32) -> Any:
    statistics = [FrechetStatistics() for _ in (a, b)]
    for images, found in zip((a, b), statistics, strict=True):
        for features in feature_batches(images, Projection(), protocol, batch_size):
            found.update(features)
    return frechet_distance(*statistics)


def theirs(a: Path, b: Path, mode: str = "clean", transform: Any = None, scale: float = 1.0) -> Any:
    net = Projection()
    return clean_fid.compare_folders(
        str(a),
        str(b),
        lambda x: net.of_tensor(x * scale),
        mode,
        device=CPU,
        verbose=False,
        custom_image_tranform=transform,
    )


def test_playground_equals_clean_fid_from_files(folders: Any, clean_fid_scipy: None) -> None:
    (a, _), (b, _) = folders
    value = ours(find_images(a), find_images(b), "playground")
    assert value == pytest.approx(theirs(a, b), rel=1e-4)
    assert value > 0.1


def test_gigagan256_equals_clean_fid_with_its_transform(
    folders: Any, clean_fid_scipy: None
) -> None:
    (a, _), (b, _) = folders

    def transform(image: Any) -> Any:
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        picture = Image.fromarray(image).crop((left, top, left + side, top + side))
        return np.array(picture.resize((256, 256), Image.Resampling.LANCZOS))

    value = ours(find_images(a), find_images(b), "gigagan256")
    assert value == pytest.approx(theirs(a, b, transform=transform), rel=1e-4)


def test_pytorch_fid_equals_clean_fids_legacy_mode(folders: Any, clean_fid_scipy: None) -> None:
    (a, _), (b, _) = folders
    value = ours(find_images(a), find_images(b), "pytorch-fid")
    # The network normalises by (x - 128) / 128; pytorch-fid's 2x/255 - 1 is that of 256/255 x.
    assert value == pytest.approx(theirs(a, b, "legacy_pytorch", scale=256 / 255), rel=1e-4)


def test_from_memory_equals_clean_fid(folders: Any, clean_fid_scipy: None) -> None:
    sets = [images for _, images in folders]
    square = [[i[:64, :64] for i in images] for images in sets]
    net = Projection()
    features = []
    for images in square:
        waiting = iter(images)

        def generator(z: Any, waiting: Any = waiting) -> Any:
            batch = np.stack([next(waiting) for _ in range(len(z))]).transpose(0, 3, 1, 2)
            return torch.from_numpy(batch)

        features.append(
            clean_fid.get_model_features(
                generator, net.of_tensor, num_gen=COUNT, batch_size=30, device=CPU, verbose=False
            )
        )
    expected = clean_fid.fid_from_feats(*features)
    assert ours(*square, "playground") == pytest.approx(expected, rel=1e-4)


def test_protocols_give_different_numbers(folders: Any) -> None:
    (a, _), (b, _) = folders
    published = ("playground", "gigagan256", "pytorch-fid")
    values = [ours(find_images(a)[:40], find_images(b)[:40], protocol) for protocol in published]
    assert len({round(value, 3) for value in values}) == 3


def test_the_batch_size_does_not_matter(folders: Any) -> None:
    (a, _), (b, _) = folders
    values = [ours(find_images(a)[:30], find_images(b)[:30], "playground", n) for n in (1, 7, 30)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-5)


@pytest.mark.parametrize(
    ("protocol", "mode"), [("playground", "clean"), ("pytorch-fid", "legacy_pytorch")]
)
@pytest.mark.parametrize("size", [(299, 299), (512, 400), (64, 48), (1024, 1024)])
def test_pixels_equal_clean_fids(protocol: str, mode: str, size: tuple[Any, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(*size, 3)).astype(np.uint8)
    scale = 256 / 255 if protocol == "pytorch-fid" else 1.0
    expected = build_resizer(mode)(image).transpose(2, 0, 1) * scale
    pixels = prepare(image, protocol, 299)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, expected, atol=2e-3)


def test_an_image_of_the_networks_size_passes_unchanged() -> None:
    image = np.random.default_rng(1).integers(0, 256, size=(64, 64, 3)).astype(np.uint8)
    np.testing.assert_array_equal(prepare(image, "playground", 64), image.transpose(2, 0, 1))


def test_the_crop_takes_the_middle() -> None:
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 30:70] = 255
    assert (centre_crop_256(image) == 255).all()
    assert (centre_crop_256(image.transpose(1, 0, 2)) == 255).all()


def test_files_are_found_as_clean_fid_finds_them(folders: Any) -> None:
    (a, _), _ = folders
    found = find_images(a)
    assert len(found) == COUNT
    assert found == sorted(found)
    with pytest.raises(UserError, match="holds no images"):
        find_images(a / "nowhere")


def test_a_corrupt_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    Image.new("RGB", (32, 32)).save(broken)
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(Unscorable, match=r"broken\.png"):
        prepare(broken, "playground", 64)


# -- decoding ahead ------------------------------------------------------------------------------


class Watched:
    """A protocol that notes which numbered pictures it prepared, and a network that waits until
    ``expected`` pictures are prepared."""

    name = identity = "watched"
    side = 4

    def __init__(self) -> None:
        self.prepared: list[int] = []
        self.changed = threading.Condition()
        self.seen = self.expected = 0

    def protocol(self, image: np.ndarray, side: int) -> np.ndarray:
        with self.changed:
            self.prepared.append(int(image[0, 0, 0]))
            self.changed.notify_all()
        return image[:side, :side].astype(np.float32)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.prepared) >= self.expected, timeout=60)
        assert came, "nothing is prepared while the network runs"
        self.seen += len(pixels)
        return pixels[:, :, 0, 0]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Any:
    net = Watched()
    monkeypatch.setitem(PROTOCOLS, "watched", net.protocol)
    return net


def numbered(count: Any) -> Any:
    return [np.full((8, 8, 3), i, np.uint8) for i in range(count)]


def test_the_next_batch_is_prepared_while_the_network_runs(watched: Any) -> None:
    features = []
    watched.expected = 8
    for batch in feature_batches(numbered(12), watched, "watched", batch_size=4):
        features.append(batch)
        watched.expected = 12
    expected = np.repeat(np.arange(12), 3).reshape(12, 3)
    np.testing.assert_array_equal(np.concatenate(features), expected)


def test_no_more_than_two_batches_of_pixels_are_held(watched: Any) -> None:
    for done, _ in enumerate(feature_batches(numbered(40), watched, "watched", 4), start=1):
        assert max(watched.prepared) < 4 * (done + 1)
    assert sorted(watched.prepared) == list(range(40))


def test_an_unreadable_picture_ends_the_stream_with_its_name(watched: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    batches = feature_batches([*numbered(4), broken, *numbered(20)], watched, "watched", 4)
    assert next(batches).shape == (4, 3)
    with pytest.raises(Unscorable, match=r"broken\.png"):
        next(batches)
    assert watched.seen == 4
