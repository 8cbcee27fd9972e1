"""EfficientNet-Lite0 with the weights of its package: it knows real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Embed, InstrumentMissing
from harmon_eval.files.packages import carried
from harmon_eval.instruments.features import efficientnet_lite0 as lite

# ImageNet's classes of two of scikit-image's photographs.
KNOWN = {"chelsea.png": range(281, 286), "coffee.png": (504, 967, 968)}  # cats; mug, espresso, cup


def photograph(name: str) -> np.ndarray:
    file = carried("skimage", f"data/{name}", "scikit-image", "real")
    image = Image.open(file).convert("RGB").resize((lite.SIDE,) * 2, Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32).transpose(2, 0, 1)


def test_it_knows_a_cat_and_a_cup_of_coffee() -> None:
    network, digest = lite.load_network()
    pixels = torch.from_numpy(np.stack([photograph(name) for name in KNOWN]))
    with torch.inference_mode():
        best = network((pixels - lite.MEAN) / lite.SCALE).argmax(1).tolist()
    assert all(found in classes for found, classes in zip(best, KNOWN.values(), strict=True))
    assert digest.startswith("57934424"), "the file's name has the first digits of its digest"


def test_features_of_an_image_do_not_depend_on_the_batch() -> None:
    features = registry.instrument("features", "efficientnet_lite0", lambda weights: Path())
    pixels = np.stack([photograph(name) for name in KNOWN])
    both = features(pixels)
    assert both.shape == (2, 1280) and both.dtype == np.float32
    assert np.array_equal(features(pixels[:1])[0], both[0])
    assert "sha256:" in features.identity


def test_as_a_model_it_embeds(tmp_path: Path) -> None:
    file = carried("skimage", "data/coffee.png", "scikit-image", "real")
    (vector,) = registry.model("efficientnet_lite0").embed([Embed(file)])
    assert vector.shape == (1280,) and np.isfinite(vector).all()


def test_without_the_weights_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lite.open_network.cache_clear()
    monkeypatch.setattr("harmon_eval.files.packages.find_spec", lambda name: None)
    with pytest.raises(InstrumentMissing, match=r"pip install 'harmon-eval\[real\]'"):
        lite.open_instrument()
