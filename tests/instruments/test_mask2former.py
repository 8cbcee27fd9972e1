"""Mask2Former in transformers gives MMDetection's own detections from MMDetection's own file.

The recording (``tests/fixtures/README.md``) holds a small random model run by MMDetection 2.28.2.
Set ``MASK2FORMER_FIXTURE`` to compare with another; every size is read from the file.
"""

from __future__ import annotations

import importlib.util
import io
import json
import lzma
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harmon_eval.core import UserError
from harmon_eval.instruments.mask2former import checkpoint, keys, pixels
from harmon_eval.instruments.mask2former.detector import (
    Mask2FormerDetector,
    official_detector,
    self_test,
)
from harmon_eval.tasks.geneval.prompts import OBJECT_NAMES

FIXTURES = Path(__file__).parents[1] / "fixtures"
SHARED = Path(__file__).parents[3] / "shared" / "fixtures" / "mask2former_mmdet.pt"
TRIMMED = FIXTURES / "mask2former_mmdet_trimmed.pt.xz"
BACKBONE, LOGITS, SCORES = 5e-5, 3e-4, 1e-4


def fixture_path() -> Path:
    if given := os.environ.get("MASK2FORMER_FIXTURE"):
        return Path(given)
    return SHARED if SHARED.exists() else TRIMMED


@pytest.fixture(scope="module")
def recorded() -> Any:
    path = fixture_path()
    content = path.read_bytes()
    opened = lzma.decompress(content) if path.suffix == ".xz" else content
    return torch.load(io.BytesIO(opened), weights_only=True)


@pytest.fixture(scope="module")
def pipeline(recorded: Any) -> pixels.Pipeline:
    sizes = recorded["config"]
    return pixels.Pipeline(
        *sizes["img_scale"],
        divisor=sizes["pad_divisor"],
        pad_value=sizes["pad_value"],
        mean=tuple(sizes["mean"]),
        std=tuple(sizes["std"]),
        max_per_image=sizes["max_per_image"],
    )


@pytest.fixture(scope="module")
def network(recorded: Any) -> Any:
    return checkpoint.network(recorded["state_dict"], "the recording")


def compared(recorded: Any, ours: Any, theirs: Any) -> float:
    """Largest difference; a trimmed recording holds every n-th value. NaN counts as infinite."""
    assert torch.isfinite(ours).all()
    if ours.shape != theirs.shape:
        ours = ours.flatten()[:: recorded["sampled"]]
    return float((ours.float() - theirs).abs().max())


def assert_same_detections(ours: pixels.Detections, theirs: dict) -> None:
    """Matched by (query, class): equal scores have no defined order in the original."""
    assert bool((ours.scores[:-1] >= ours.scores[1:]).all())

    def places(query: Any, labels: Any) -> Any:
        return {pair: i for i, pair in enumerate(zip(query.tolist(), labels.tolist(), strict=True))}

    mine = places(ours.query, ours.labels)
    reference = places(theirs["query"], theirs["labels"])
    assert set(mine) == set(reference)
    rows = [mine[pair] for pair in reference]
    assert (ours.scores[rows] - theirs["scores"]).abs().max() < SCORES
    assert torch.equal(ours.boxes[rows], theirs["boxes"])
    wrong = (ours.masks[rows] != theirs["masks"]).float().mean()
    assert wrong <= 1e-4


def test_every_stage_of_the_network_equals_mmdetections(
    recorded: Any, network: Any, pipeline: pixels.Pipeline
) -> None:
    for image, case in zip(recorded["images"], recorded["cases"], strict=True):
        prepared = pixels.prepare(image.numpy(), pipeline)
        assert prepared.resized == tuple(case["img_shape"][:2])
        assert prepared.pixels.shape[-2:] == tuple(case["pad_shape"][:2])
        assert compared(recorded, prepared.pixels, case["input"]) < 1e-6
        with torch.inference_mode():
            out = network(
                pixel_values=prepared.pixels,
                output_auxiliary_logits=True,
                output_hidden_states=True,
            )
        layers = [*out.auxiliary_logits, out]
        stages = {
            "backbone": (out.encoder_hidden_states, BACKBONE),
            "multi_scale": (out.pixel_decoder_hidden_states, BACKBONE),
            "cls_logits": ([layer["class_queries_logits"] for layer in layers], LOGITS),
            "mask_logits": ([layer["masks_queries_logits"] for layer in layers], LOGITS),
        }
        for name, (values, tolerance) in stages.items():
            for ours, theirs in zip(values, case[name], strict=True):
                assert compared(recorded, ours, theirs) < tolerance, name
        features = out.pixel_decoder_last_hidden_state
        assert compared(recorded, features, case["mask_features"]) < BACKBONE


def test_an_image_gives_the_detections_of_mmdetection(
    recorded: Any, network: Any, pipeline: pixels.Pipeline
) -> None:
    detector = Mask2FormerDetector(network, "recorded", "cpu", pipeline)
    for image, case in zip(recorded["images"], recorded["cases"], strict=True):
        assert_same_detections(detector.detect(image.numpy()), case["detections"])


def test_the_third_generations_names_give_the_same_network(recorded: Any, network: Any) -> None:
    renamed = {recorded["names_3x"][n]: v for n, v in recorded["state_dict"].items()}
    back = {keys.generation_2(f"module.{name}"): value for name, value in renamed.items()}
    assert set(back) == set(recorded["state_dict"])
    same = checkpoint.network(back, "3.x").state_dict()
    assert all(torch.equal(value, same[name]) for name, value in network.state_dict().items())


def test_empty_padded_doubled_and_full_masks_come_out_as_in_mmdetection(recorded: Any) -> None:
    case = recorded["postprocess_case"]
    canvas = torch.zeros(1, 3, *case["pad_shape"][:2])
    prepared = pixels.Prepared(canvas, tuple(case["img_shape"][:2]), tuple(case["ori_shape"][:2]))
    found = pixels.detections(
        case["cls_logits"], case["mask_logits"], prepared, case["max_per_image"]
    )
    assert_same_detections(found, case["detections"])


def merge_order_back(last: torch.Tensor) -> torch.Tensor:
    shaped = last.unflatten(-1, (2, 2, -1))  # (..., dx, dy, C)
    return shaped.movedim((-3, -2, -1), (-1, -2, -3)).flatten(-3)


def to_mmdetection(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The way back: a transformers network's tensors under 2.x names, without index buffers."""
    found: dict[str, torch.Tensor] = {}
    for theirs, ours in keys.NAMES.items():
        pattern = keys._pattern(ours)
        for name in state:
            match = pattern.match(name)
            if match is None or ("@" in ours and "q" not in match.groups()):
                continue
            values = iter(value for value in match.groups() if value not in ("q", "k", "v"))
            source = "".join(next(values) if c in "#*" else c for c in theirs)
            letters = "qkv" if "@" in ours else "q"
            parts = [state[name.replace("q_proj", f"{letter}_proj")] for letter in letters]
            value = torch.cat(parts) if len(parts) > 1 else parts[0]
            found[source] = merge_order_back(value) if ".downsample." in source else value
    return found


def test_the_key_map_reads_both_ways_without_loss(recorded: Any, network: Any) -> None:
    state = {n: v for n, v in recorded["state_dict"].items() if not keys.POSITION_INDEX.match(n)}
    back = to_mmdetection(network.state_dict())
    assert set(back) == set(state)
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_the_published_files_649_tensors_all_have_their_place() -> None:
    shapes = json.loads((FIXTURES / "mask2former_swin_s_shapes.json").read_text())
    state = {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}
    parameters = {n: v for n, v in state.items() if not keys.POSITION_INDEX.match(n)}
    converted, unknown = keys.to_transformers(parameters)
    assert (len(state), len(parameters), unknown) == (649, 625, [])
    assert sum(value.numel() for value in converted.values()) == 68_739_547
    assert len(converted) == 757
    sizes = keys.network_sizes(shapes)
    assert sizes["backbone"]["depths"] == [2, 2, 18, 2]
    assert (sizes["num_queries"], sizes["num_labels"], sizes["decoder_layers"]) == (100, 80, 10)
    with torch.device("meta"):
        from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

        backbone = SwinConfig(**sizes.pop("backbone"))
        config = Mask2FormerConfig(backbone_config=backbone, **sizes)
        own = Mask2FormerForUniversalSegmentation(config).state_dict()
    assert {name: value.shape for name, value in converted.items()} == {
        n: v.shape for n, v in own.items() if not n.startswith(checkpoint.NOT_STORED)
    }


def test_every_tensor_that_does_not_fit_is_named(recorded: Any) -> None:
    state = dict(recorded["state_dict"])
    lost = "panoptic_head.transformer_decoder.layers.1.norms.2.bias"
    del state[lost]
    state["panoptic_head.extra.weight"] = torch.zeros(1)
    bent = "panoptic_head.pixel_decoder.mask_feature.bias"
    state[bent] = torch.zeros(3)
    index = next(name for name in state if keys.POSITION_INDEX.match(name))
    state[index] = state[index].flip(0)
    with pytest.raises(UserError) as caught:
        checkpoint.network(state, "file.pth")
    for said in (
        keys.target_names(lost)[0],
        "panoptic_head.extra.weight",
        keys.target_names(bent)[0] + " (3,)",
        index,
    ):
        assert said in str(caught.value)


def test_a_third_generation_file_read_as_second_is_refused_not_half_loaded(recorded: Any) -> None:
    """What GenEval's own script did for a year: 180 of 649 tensors unmatched, scores near zero."""
    renamed = {recorded["names_3x"][n]: v for n, v in recorded["state_dict"].items()}
    with pytest.raises(UserError, match=r"missing|not a Mask2Former"):
        checkpoint.network(renamed, "file.pth")


def test_a_file_is_known_by_its_content_and_opened_without_running_it(
    recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "detector.pth"
    names = [checkpoint.COCO_NAMES.get(name, name) for name in OBJECT_NAMES]
    meta = {"CLASSES": tuple(names), "epoch": 50, "loss": np.float64(0.5)}
    saved = {"meta": meta, "state_dict": recorded["state_dict"]}
    torch.save(saved, file, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"SHA-256 begins with \w{8} instead of 743b7d99"):
        official_detector(file)
    monkeypatch.setitem(checkpoint.RELEASES, checkpoint.sha256_of(file)[:8], file.name)
    assert official_detector(file, "cpu").identity.startswith("mask2former-mmdet-2.x")
    torch.save({**saved, "meta": {"CLASSES": names[::-1]}}, file)
    with pytest.raises(UserError, match="not trained on COCO"):
        checkpoint.read_state(file)
    torch.save({**saved, "hook": SimpleNamespace()}, file)
    with pytest.raises(UserError, match="more than tensors"):
        checkpoint.read_state(file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"is incomplete|more than tensors"):
        checkpoint.read_state(file)


def test_random_weights_do_not_pass_the_self_test(network: Any, pipeline: pixels.Pipeline) -> None:
    with pytest.raises(UserError, match=r"person in a portrait scored 0\.\d+.*nothing is marked"):
        self_test(Mask2FormerDetector(network, "random", "cpu", pipeline))


@pytest.mark.parametrize(
    ("original", "resized", "padded"),
    [
        ((256, 256), (800, 800), (800, 800)),
        ((384, 512), (800, 1067), (800, 1088)),
        ((300, 900), (444, 1333), (448, 1344)),
        ((768, 1344), (762, 1333), (768, 1344)),
        ((1360, 768), (1333, 753), (1344, 768)),
        ((1216, 832), (1169, 800), (1184, 800)),
    ],
)
def test_sizes_are_those_of_the_published_configuration(
    original: tuple[Any, ...], resized: tuple[Any, ...], padded: tuple[Any, ...]
) -> None:
    assert pixels.resized_size(*original) == resized
    assert tuple(-(-side // 32) * 32 for side in resized) == padded


def test_padding_is_grey_before_normalisation() -> None:
    prepared = pixels.prepare(np.zeros((300, 900, 3), np.uint8), pixels.Pipeline(90, 40))
    assert prepared.pixels[0, :, -1, -1].tolist() == pytest.approx([0.0741, 0.2052, 0.4265], 1e-3)


@settings(max_examples=40)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 30), st.integers(1, 30), st.integers(0)
)
def test_resizing_keeps_flat_images_and_stays_near_exact_interpolation(
    h: Any, w: Any, new_h: Any, new_w: Any, seed: Any
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    ours = pixels.opencv_bilinear(image, new_h, new_w)
    exact = torch.nn.functional.interpolate(
        torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None],
        size=(new_h, new_w),
        mode="bilinear",
        align_corners=False,
    )[0].permute(1, 2, 0)
    assert np.abs(ours - exact.numpy()).max() <= 1.0
    flat = np.full((h, w, 3), image[0, 0], np.uint8)
    assert (pixels.opencv_bilinear(flat, new_h, new_w) == image[0, 0]).all()


def test_resizing_by_hand() -> None:
    """Two pixels 0 and 200 to four: positions -0.25, 0.25, 0.75, 1.25, the outer ones clamped."""
    row = np.array([[[0], [200]]], np.uint8)
    assert pixels.opencv_bilinear(row, 1, 4)[0, :, 0].tolist() == [0, 50, 150, 200]


def test_mmdetection_itself_gives_the_same_detections_or_says_how_to_install_it(
    recorded: Any, network: Any, pipeline: pixels.Pipeline, tmp_path: Path
) -> None:
    """Compared where mmdet 2.28.2 is installed (docs/official.md); else the error names the way."""
    from harmon_eval.instruments.mask2former import mmdet as mask2former_mmdet

    if importlib.util.find_spec("mmdet") is None:
        with pytest.raises(UserError, match=r"mmcv 1\.7\.2 and mmdet 2\.28\.2.*official\.md"):
            mask2former_mmdet.mmdet_detector(tmp_path / "detector.pth")
        return
    config = json.loads(recorded["model_config_json"])
    model = mask2former_mmdet.build(config, recorded["state_dict"])
    theirs = mask2former_mmdet.MMDetDetector(model, "mmdet", "cpu", pipeline)
    ours = Mask2FormerDetector(network, "recorded", "cpu", pipeline)
    images = [image.numpy() for image in recorded["images"]]
    for mine, reference in zip(ours(images), theirs(images), strict=True):
        assert set(mine) == set(reference)
        for name, (boxes, masks) in reference.items():
            assert np.abs(mine[name][0] - boxes).max() < SCORES
            assert (mine[name][1] != masks).mean() <= 1e-4
