"""PIE-Bench: masks and masked measures as the original's, exact edits, floors, result folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval import cli
from harmon_eval.core import Answer, Edit, InstrumentMissing, Sample, UserError
from harmon_eval.tasks.pie import marks, mini, rules
from harmon_eval.tasks.pie.task import TASK
from tests.tasks.exact_edits import Exact

EDITS = [(i.edit.instruction, i.edit.source, i.edit.target) for i in mini.items()]


def test_masks_and_masked_measures_are_the_originals(pie_masks: Any) -> None:
    mask = rules.decode_mask(pie_masks["rle"], tuple(pie_masks["size"]))
    rows = ["".join("1" if edited else "." for edited in row) for row in mask]
    assert rows == pie_masks["mask_rows"]
    assert mask.sum() == pie_masks["mask_pixels"]
    if pie_masks["source"]:
        shape = (*pie_masks["size"], 3)
        pair = [np.array(pie_masks[n], np.uint8).reshape(shape) for n in ("source", "target")]
        found = rules.measures(*pair, mask)
        assert found["psnr"] == pytest.approx(pie_masks["psnr_unedited"], abs=1e-3)
        assert found["mse"] == pytest.approx(pie_masks["mse_unedited"], abs=1e-8)
        kept = 10 ** (-found["psnr_kept"] / 10)
        assert kept == pytest.approx(pie_masks["mse_over_kept_pixels"], abs=1e-8)


def test_a_mask_goes_there_and_back() -> None:
    mask = rules.decode_mask([20, 7, 40, 3], (8, 8))
    assert (rules.decode_mask(rules.encode_mask(mask), (8, 8)) == mask).all()
    with pytest.raises(UserError, match="pairs of start and length"):
        rules.decode_mask([1], (8, 8))


def test_one_level_in_one_kept_pixel_by_hand() -> None:
    """4 x 4 with the frame masked: 4 kept pixels; one channel of one differs by 51 = 0.2."""
    source = np.zeros((12, 12, 3), np.uint8)
    result = source.copy()
    result[5, 5, 0] = 51
    found = rules.measures(source, result, rules.decode_mask([], (12, 12)))
    assert found["mse"] == pytest.approx(0.04 / (12 * 12 * 3))
    assert found["psnr"] == pytest.approx(10 * math.log10(12 * 12 * 3 / 0.04))
    assert found["psnr_kept"] == pytest.approx(10 * math.log10(100 * 3 / 0.04))


def test_equal_images_are_identical() -> None:
    image = np.full((12, 12, 3), 90, np.uint8)
    found = rules.measures(image, image, rules.decode_mask([], (12, 12)))
    assert (found["mse"], found["psnr"]) == (0.0, math.inf)
    assert found["ssim"] == pytest.approx(1.0)


def test_of_a_strip_of_images_the_last_one_counts() -> None:
    strip = Image.new("RGB", (24, 8), "red")
    strip.paste(Image.new("RGB", (8, 8), "blue"), (16, 0))
    assert rules.fitted(strip, (8, 8)).getpixel((0, 0)) == (0, 0, 255)
    assert rules.fitted(Image.new("RGB", (16, 16)), (8, 8)).size == (8, 8)


def test_exact_edits_keep_everything_and_so_do_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = harmon_eval.evaluate(Exact(EDITS), tasks="pie", output=tmp_path / "run")["pie"]
    assert (found.n, found.score, found.metrics["identical"]) == (60, pytest.approx(1.0), 60)
    floors = found.floors["ssim_unedited[pie]"]
    assert floors["copy_source"] == pytest.approx(1.0) and floors["ignore_source"] < 0.9
    lpips, structure = (
        found.floors[name] for name in ("lpips_unedited[pie,mini]", "structure_distance[mini]")
    )
    assert lpips["copy_source"] == structure["copy_source"] == 0
    assert lpips["ignore_source"] > 0.05 and structure["ignore_source"] > 0.01
    (fit,) = (value for name, value in found.metrics.items() if name.startswith("clip_whole"))
    assert fit > 0.97
    out = tmp_path / "out"
    assert cli.main(["export", str(tmp_path / "run"), "pie", str(out)]) == 0
    again = harmon_eval.evaluate(f"folder:{out}", tasks="pie", output=tmp_path / "2", limit=6)
    assert again["pie"].score == pytest.approx(1.0)


# -- by networks -----------------------------------------------------------------------------------


class Noted:
    """An instrument of any of the roles that notes what it is given."""

    identity = "noted"

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value
        self.given: list[tuple[Any, Any]] = []

    def compare(self, images: Any, references: Any) -> list[float]:
        self.given += [
            (np.asarray(i), np.asarray(r)) for i, r in zip(images, references, strict=True)
        ]
        return [self.value] * len(images)

    def measure(self, images: Any, texts: Any) -> list[float]:
        self.given += [(np.asarray(i), t) for i, t in zip(images, texts, strict=True)]
        return [self.value] * len(images)


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    """8 x 8, of which the first half of the rows may change; the result is all 200."""
    source, result = tmp_path / "source.png", tmp_path / "result.png"
    Image.new("RGB", (16, 16), (90, 90, 90)).save(source)
    Image.new("RGB", (16, 16), (200, 200, 200)).save(result)
    target = {
        **{"type_id": "1", "instruction": "Make it light", "caption": "a light picture"},
        **{"mask": [0, 128], "place": "a", "floors": {}},
    }
    return Answer(Sample("a", Edit((source,), "Make it light"), target, "a"), result)


def test_each_network_sees_what_the_original_gives_it(answer: Answer) -> None:
    """LPIPS both images without the edited part, structure distance the whole ones, CLIP the result
    whole and with all but the edited part black; below 0 is 0."""
    found = {
        "lpips": Noted("squeeze", 0.25),
        "structure": Noted("dino-vitb8", 0.125),
        "measure": Noted("clip", -3.0),
    }
    (row,) = marks.mark([answer], found)
    edited = rules.decode_mask([0, 128], (16, 16))
    made, given = found["lpips"].given[0]
    assert (made[edited] == 0).all() and (made[~edited] == 200).all()
    assert (given[edited] == 0).all() and (given[~edited] == 90).all()
    made, given = found["structure"].given[0]
    assert (made == 200).all() and (given == 90).all()
    (whole, text), (part, _) = found["measure"].given[:2]
    assert (whole == 200).all() and text == "a light picture"
    assert (part[edited] == 200).all() and (part[~edited] == 0).all()
    metrics = TASK.summarize(pd.DataFrame([row]))
    assert metrics["lpips_unedited[pie,squeeze]"] == 0.25
    assert metrics["structure_distance[dino-vitb8]"] == 0.125
    assert metrics["clip_whole[clip]"] == metrics["clip_edited[clip]"] == 0


def test_what_needs_weights_is_left_out_and_said(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    def nowhere(weights: Any) -> Path:
        raise InstrumentMissing(f"put {weights.names[0]} there")

    found = {role: opener(nowhere) for role, opener in TASK.instruments.items()}
    for file in ("squeezenet1_1-b8a52dc0.pth", "dino-vitb8", "clip-vit-large-patch14"):
        assert f"put {file}" in caplog.text
    (row,) = marks.mark([answer], found)
    metrics = TASK.summarize(pd.DataFrame([row]))
    assert metrics.keys() == {
        *("ssim_unedited[pie]", "mse_unedited[pie]", "psnr_unedited[pie]", "psnr_kept"),
        "identical",
    }
