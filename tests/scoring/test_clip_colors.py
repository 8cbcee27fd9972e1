"""Colours are named as GenEval names them: masked crops, CLIP's transform, three texts a colour."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import save_file

from harmon_eval.core import UserError
from harmon_eval.instruments.color import clip as clip_colors
from harmon_eval.instruments.color.clip import ClipColors, crop, self_test, texts
from harmon_eval.tasks.geneval.rules import PALETTE

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}


def small_clip(quick_gelu: bool = True) -> CLIP:
    torch.manual_seed(0)
    return CLIP(16, dict(VISION), dict(TEXT), quick_gelu=quick_gelu)


@pytest.fixture(scope="module")
def colors() -> ClipColors:
    return ClipColors(small_clip(), open_clip.get_tokenizer("ViT-L-14-quickgelu"), "small", "cpu")


@pytest.fixture
def canvas() -> np.ndarray:
    """Blue, with a red square at [100, 100, 200, 200] (the worked example E5)."""
    image = np.zeros((512, 512, 3), np.uint8)
    image[...] = (0, 0, 255)
    image[100:200, 100:200] = (255, 0, 0)
    return image


def test_outside_the_mask_a_crop_is_999_grey(canvas) -> None:
    mask = np.zeros((512, 512), bool)
    mask[100:200, 100:200] = True
    masked = np.asarray(crop(canvas, np.array([50, 50, 250, 250, 0.9], np.float32), mask))
    assert masked.shape == (200, 200, 3)
    expected = np.full((200, 200, 3), 153, np.uint8)
    expected[50:150, 50:150] = (255, 0, 0)
    assert (masked == expected).all()


def test_without_masks_the_surroundings_stay(canvas) -> None:
    plain = np.asarray(crop(canvas, np.array([50, 50, 250, 250], np.float32), None))
    assert (plain == canvas[50:250, 50:250]).all()


def test_a_mask_cuts_pixel_by_pixel_and_single_pixels_survive() -> None:
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    mask = np.zeros((5, 7), bool)
    mask[1, 2] = mask[3, 4] = True
    cut = np.asarray(crop(image, np.array([2, 1, 5, 4], np.float32), mask))
    expected = np.full((3, 3, 3), 153, np.uint8)
    expected[0, 0], expected[2, 2] = image[1, 2], image[3, 4]
    assert (cut == expected).all()


def test_corners_are_rounded_half_to_even() -> None:
    image = np.arange(8, dtype=np.uint8)[None, :, None].repeat(4, 0).repeat(3, 2)
    cut = np.asarray(crop(image, np.array([0.5, 0, 3.5, 4], np.float32), None))
    assert cut[0, :, 0].tolist() == [0, 1, 2, 3]


def test_a_long_crop_loses_both_ends_to_the_centre_crop(colors) -> None:
    strip = np.zeros((32, 96, 3), np.uint8)
    strip[:, 32:64] = 255
    seen = colors.transform(Image.fromarray(strip))
    white = colors.transform(Image.new("RGB", (32, 32), "white"))
    assert seen.shape == (3, 32, 32)
    assert torch.allclose(seen, white)


def test_pixels_are_normalised_by_clips_own_mean_and_deviation(colors) -> None:
    seen = colors.transform(Image.new("RGB", (50, 40), "white"))
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    deviation = np.array([0.26862954, 0.26130258, 0.27577711])
    assert seen[:, 0, 0].numpy() == pytest.approx((1 - mean) / deviation, rel=1e-5)


def test_three_texts_a_colour_always_with_a() -> None:
    assert texts("car")[3:6] == [
        "a photo of a orange car",
        "a photo of a orange-colored car",
        "a photo of a orange object",
    ]
    assert len(texts("car")) == 3 * len(PALETTE)


def test_logits_are_a_hundred_cosines_with_the_unit_mean_of_unit_texts(colors, canvas) -> None:
    """Worked out text by text in float64, beside the batched float32."""
    patch = crop(canvas, np.array([90, 90, 210, 260], np.float32), None)
    with torch.inference_mode():
        image = colors.model.encode_image(colors.transform(patch)[None])[0].double()
        expected = []
        for color in PALETTE:
            units = []
            for text in (
                f"a photo of a {color} car",
                f"a photo of a {color}-colored car",
                f"a photo of a {color} object",
            ):
                feature = colors.model.encode_text(colors.tokenize([text]))[0].double()
                units.append(feature / feature.norm())
            mean = sum(units) / 3
            expected.append(float(100 * (image / image.norm()) @ (mean / mean.norm())))
    assert colors.logits([patch], "car")[0].tolist() == pytest.approx(expected, abs=1e-3)


def test_the_highest_logit_names_each_object_whatever_the_batch(colors, canvas) -> None:
    boxes = np.array([[i, i, 120 + 9 * i, 180, 0.9] for i in range(20)], np.float32)
    together = colors(canvas, boxes, None, "bus")
    alone = [colors(canvas, box[None], None, "bus")[0] for box in boxes]
    assert together == alone
    assert colors(canvas, boxes[:0], None, "bus") == []


def test_plain_gelu_is_refused(colors) -> None:
    with pytest.raises(UserError, match="QuickGELU"):
        ClipColors(small_clip(quick_gelu=False), colors.tokenize, "plain", "cpu")


def test_weights_are_checked_before_they_are_opened(tmp_path: Path) -> None:
    archive = tmp_path / "ViT-L-14.pt"
    archive.write_bytes(b"something else")
    with pytest.raises(UserError, match="SHA-256 differs"):
        clip_colors.read_weights(archive)
    broken = tmp_path / "open_clip_model.safetensors"
    broken.write_bytes(b"{")
    with pytest.raises(UserError, match="download it again"):
        clip_colors.read_weights(broken)


@pytest.fixture
def small_architecture(monkeypatch: pytest.MonkeyPatch) -> CLIP:
    """open_clip builds the small network where it is asked for ViT-L/14."""
    configuration = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT, "quick_gelu": True}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-L-14-quickgelu", configuration)
    return small_clip()


def test_a_file_of_weights_gives_the_network_it_came_from(
    small_architecture: CLIP, tmp_path: Path, colors, canvas
) -> None:
    file = tmp_path / "open_clip_model.safetensors"
    save_file(small_architecture.state_dict(), file)
    loaded = clip_colors.official_colors(file, "cpu")
    patch = crop(canvas, np.array([0, 0, 300, 300], np.float32), None)
    assert torch.equal(loaded.logits([patch], "car"), colors.logits([patch], "car"))
    state = small_architecture.state_dict()
    del state["ln_final.bias"]
    save_file(state, file)
    with pytest.raises(UserError, match=r"ln_final\.bias"):
        clip_colors.official_colors(file, "cpu")


def test_random_weights_do_not_pass_the_self_test(colors) -> None:
    with pytest.raises(UserError, match=r"fails its self-test: it called a \w+ sports ball"):
        self_test(colors)
