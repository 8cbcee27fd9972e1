"""Reconstruction: what is measured, against hand-worked pictures, a copy, and harmon-mini's VAE."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval.adapters import vae
from harmon_eval.core import Answer, Edit, InstrumentMissing, Sample, Unscorable, UserError
from harmon_eval.instruments.features.mini import MiniFeatures
from harmon_eval.instruments.lpips.mini import MiniLpips
from harmon_eval.instruments.optional import Absent, optional
from harmon_eval.tasks.reconstruction.measures import alike, fitted
from harmon_eval.tasks.reconstruction.task import REPEAT, TASK


def save(path: Path, pixels: Any) -> Path:
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)
    return path


def noise(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 200, (height, width, 3))


def rows_of(samples: list[Sample], place: Callable[[Sample], Path]) -> pd.DataFrame:
    found = {"features": MiniFeatures(), "lpips": MiniLpips()}
    marks = TASK.mark([Answer(sample, place(sample)) for sample in samples], found)
    return pd.DataFrame([{"id": s.id, **m} for s, m in zip(samples, marks, strict=True)])


def test_a_copy_of_the_source_is_perfect_and_the_vae_loses_a_little(
    mini: Any, tmp_path: Path
) -> None:
    samples = list(TASK.samples(mini.data("reconstruction", TASK)))
    assert len(samples) == 160 and samples[0].request.text == REPEAT
    copy = TASK.summarize(rows_of(samples, lambda sample: sample.target["reference"]))
    assert copy["psnr"] == 100 and copy["ssim"] == pytest.approx(1)
    assert copy["rfid[gigagan256,mini]"] == pytest.approx(0, abs=1e-4)
    assert copy["lpips[mini]"] == pytest.approx(0, abs=1e-6)
    model = vae.open_model("harmon-mini", vae.Settings(device="cpu"))
    chosen = samples[:80]
    for sample, image in zip(chosen, model.edit([s.request for s in chosen]), strict=True):
        image.save(tmp_path / f"{sample.id}.png")
    through = TASK.summarize(rows_of(chosen, lambda sample: tmp_path / f"{sample.id}.png"))
    assert 25 < through["psnr"] < 60 and 0.9 < through["ssim"] < 1
    assert through["rfid[gigagan256,mini]"] > copy["rfid[gigagan256,mini]"]
    assert 0 < through["lpips[mini]"] < 0.3


def test_psnr_is_worked_by_hand(tmp_path: Path) -> None:
    """Ten levels off everywhere: 20 log10(255 / 10) dB."""
    source = noise(0)
    first, second = save(tmp_path / "a.png", source), save(tmp_path / "b.png", source + 10)
    assert alike(fitted(first, second))["psnr"] == pytest.approx(20 * math.log10(25.5), abs=1e-4)


def test_the_source_is_cropped_and_resized_to_the_result(tmp_path: Path) -> None:
    """A model that crops at the centre to a square, and enlarges, is compared with that."""
    wide = save(tmp_path / "wide.png", noise(0, 64, 101))
    middle = Image.open(wide).crop((18, 0, 82, 64))
    middle.save(tmp_path / "middle.png")
    middle.resize((128, 128)).save(tmp_path / "large.png")
    for name in ("middle", "large"):
        assert alike(fitted(wide, tmp_path / f"{name}.png"))["psnr"] == 100
    tiny = save(tmp_path / "tiny.png", noise(1, 8, 8))
    assert "below 11 pixels" in alike(fitted(wide, tiny))["unscored"]


def test_lpips_is_left_out_without_its_weights_and_the_reason_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def nowhere(weights: Any) -> Path:
        raise InstrumentMissing(f"LPIPS needs its weights: put {weights.names[0]} there")

    assert TASK.instruments["lpips"].__name__ == "alex (where its weights are)"
    absent = optional("lpips", "alex")(nowhere)
    assert isinstance(absent, Absent) and "alexnet-owt-7be5be79.pth" in caplog.text
    picture = save(tmp_path / "a.png", noise(0))
    sample = Sample("a", Edit((picture,), REPEAT), {"reference": picture}, "a")
    found = {"features": MiniFeatures(), "lpips": absent}
    rows = TASK.mark([Answer(sample, picture)], found)
    metrics = TASK.summarize(pd.DataFrame(rows))
    assert metrics["psnr"] == 100 and not any("lpips" in name for name in metrics)


def test_a_vae_repeats_and_does_nothing_else(tmp_path: Path) -> None:
    model = vae.open_model("harmon-mini", vae.Settings(device="cpu"))
    file = save(tmp_path / "a.png", noise(0, 70, 90))
    (image,) = model.edit([Edit((file,), REPEAT)])
    assert image.size == (64, 64)
    with pytest.raises(Unscorable, match="can only repeat one image"):
        model.edit([Edit((file,), "Add a star.")])


def test_two_pictures_of_one_name_are_refused(data_at: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for suffix in ("png", "jpg"):
        save(tmp_path / "images" / f"a.{suffix}", noise(0))
    with pytest.raises(UserError, match="two pictures of the name a"):
        list(TASK.samples(data_at()))
