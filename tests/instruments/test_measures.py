"""Measures of one image and its text: recipes by hand, small networks of the real classes."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel

from harmon_eval import plugins, registry
from harmon_eval.core import InstrumentMissing, Unscorable, UserError
from harmon_eval.instruments.likeness import prepared
from harmon_eval.instruments.measure.clipscore import ClipScore, score
from harmon_eval.suites.mini.edit_images import caption
from harmon_eval.suites.mini.edits import sample_edit
from harmon_eval.suites.mini.scenes import render

Find = Callable[..., Path]


class Vectors:
    """A network that was given its vectors: the image's width is the number of its row."""

    name = identity = "vectors"

    def __init__(self, images: Any, texts: Any) -> None:
        self._images, self._texts = np.array(images), np.array(texts)

    def images(self, images: Any) -> np.ndarray:
        return self._images[[image.width - 1 for image in images]]

    def texts(self, texts: Any) -> np.ndarray:
        return self._texts[[int(text.rpartition(" ")[2]) for text in texts]]


def test_clipscore_of_the_originals_vectors(scoring_vectors: dict[str, Any]) -> None:
    case = scoring_vectors["image"]["clipscore"]
    network = Vectors(case["image"], case["text"])
    images = [Image.new("RGB", (n + 1, 1)) for n in range(len(case["image"]))]
    texts = [str(n) for n in range(len(images))]
    found = ClipScore(network).measure(images, texts)
    assert found == pytest.approx(case["per_image"], abs=1e-6)
    assert np.mean(np.array(found, float)) == pytest.approx(case["mean"], abs=1e-6)
    percent = ClipScore(network, "torchmetrics").measure(images, texts)
    assert np.mean(np.array(percent, float)) == pytest.approx(case["torchmetrics_mean"], abs=1e-6)


def test_recipes_of_four_cosines_by_hand() -> None:
    cosines = (1.0, 0.118, -0.540, -0.117)
    assert [score(c, "hessel") for c in cosines] == pytest.approx([2.5, 0.295, 0, 0])
    assert np.mean([score(c, "torchmetrics") for c in cosines]) == pytest.approx(11.525)
    assert [score(c, "cosine") for c in cosines] == pytest.approx(cosines)


def test_clipscore_of_a_clip_of_transformers(
    clip_folder: Path, picture: Image.Image, nowhere: Find
) -> None:
    """The published 2.5 max(cos, 0), from ``image_embeds`` and ``text_embeds``."""
    clip = registry.instrument("measure", f"clipscore:{clip_folder}", nowhere)
    plain = registry.instrument("measure", f"clipscore:{clip_folder}?recipe=cosine", nowhere)
    assert clip.name == "clipscore-hessel,small-clip" and "sha256:" in clip.identity
    model = CLIPModel.from_pretrained(clip_folder).eval()
    mean, deviation = (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    )
    other = Image.fromarray(255 - np.asarray(picture))
    for text, instrument in (("A photo depicts a b j", clip), ("a b j", plain)):
        ids = plain.network.tokenizer(text, return_tensors="pt")
        for image in (picture, other):
            with torch.inference_mode():
                pixels = prepared(image, 32, 32, mean, deviation)
                out = model(**ids, pixel_values=pixels)
            cos = float((out.image_embeds * out.text_embeds).sum())
            expected = 2.5 * max(cos, 0) if instrument is clip else cos
            assert instrument.measure([image], ["a b j"]) == [pytest.approx(expected, abs=1e-5)]
    together = plain.measure([picture, other, picture], ["a", "b", "a"])
    assert together[0] == together[2] == plain.measure([picture], ["a"])[0]


def test_an_image_without_a_text_has_no_clipscore(nowhere: Find) -> None:
    mini = registry.instrument("measure", "mini", nowhere)
    (found,) = mini.measure([Image.new("RGB", (8, 8))], [" "])
    assert isinstance(found, Unscorable) and "no text" in str(found)
    with pytest.raises(ValueError, match="zip"):
        mini.measure([Image.new("RGB", (8, 8))], [])


def test_the_mini_worlds_images_fit_their_own_captions_best(nowhere: Find) -> None:
    mini = registry.instrument("measure", "mini", nowhere)
    scenes = [sample_edit(np.random.default_rng(n)).source for n in range(8)]
    images = [Image.fromarray(render(scene)) for scene in scenes]
    captions = [caption(scene) for scene in scenes]
    own = np.array(mini.measure(images, captions), float)
    others = np.array(mini.measure(images, captions[1:] + captions[:1]), float)
    assert own.min() > 0.99 and others.mean() < 0.9


def test_what_is_missing_or_unknown_is_named(tmp_path: Path, nowhere: Find) -> None:
    with pytest.raises(InstrumentMissing, match="clip-vit-base-patch32"):
        registry.instrument("measure", "clipscore", nowhere)
    with pytest.raises(UserError, match=r"has no config\.json"):
        registry.instrument("measure", f"clipscore:{tmp_path}", nowhere)
    with pytest.raises(UserError, match="recipe=paper"):
        registry.instrument("measure", "clipscore?recipe=paper", nowhere)


class Brightness:
    name = identity = "brightness"

    def measure(self, images: Any, texts: Any) -> list[float]:
        return [float(np.asarray(image).mean()) for image in images]


@pytest.mark.parametrize(
    ("group", "name"),
    [("harmon_eval.instruments", "measure.bright"), ("harmon_eval.measures", "bright")],
)
def test_another_package_brings_a_measure(
    group: str, name: str, nowhere: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint(name, f"{__name__}:Brightness", group)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Brightness)
    groups = {"harmon_eval.instruments": {}, "harmon_eval.measures": {}, group: {name: point}}
    monkeypatch.setattr(plugins, "_installed", lambda places: groups)
    assert "bright" in registry.instrument_names("measure")
    found = registry.instrument("measure", "bright", nowhere)
    assert found.measure([Image.new("RGB", (2, 2), "white")], [""]) == [255.0]


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text()
    space: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, space)
    assert float(capsys.readouterr().out) > 0 and len(space["scores"]) == 2
    assert space["Brightness"]().measure([Image.new("RGB", (2, 2), "white")], [""]) == [2.0]


def test_the_page_names_every_instrument_of_ours() -> None:
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text()
    for role in ("measure", "features", "lpips", "structure", "diversity"):
        for name in registry.instrument_names(role):
            assert name == "mini" or f"`{role}={name}" in page or f"`{name}`" in page, name
