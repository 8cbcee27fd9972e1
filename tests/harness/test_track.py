"""Each complete checkpoint is evaluated once, noted and gated."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harmon_eval.metrics.text import interval, number
from harmon_eval.model.checkpoint import BUNDLED
from harmon_eval.track import checkpoints, history, settled

Call = Callable[..., Any]
QUICK = ("--tasks", "toy_draw", "--limit", 3, "--steps", 1, "--diffusion-steps", 2, "--settle", 0)


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = tmp_path / "training"
    for step in (9, 10):
        shutil.copytree(BUNDLED / "harmon-mini", folder / f"step-{step}")
    (folder / "step-11").mkdir()
    (folder / "step-11/config.json").write_text("{}")  # its weights are not there yet
    shutil.copytree(BUNDLED / "harmon-mini", folder / "step-12")
    (folder / "step-12/model.safetensors").write_bytes(b"half a file")
    return folder


def test_each_complete_checkpoint_is_evaluated_once_and_noted(
    call: Call, training: Path, tmp_path: Path
) -> None:
    done = call("track", training, "--output", "out", *QUICK)
    assert "step-12: left for the next time" in done.err
    known = history(tmp_path / "out")
    heads = known[known["headline"]]
    assert list(heads["checkpoint"]) == ["step-9", "step-10"], "by number, not by letter"
    assert list(heads["against"]) == ["", "step-9"] and (heads["n"] == 6).all()
    assert Image.open(tmp_path / "out/history.png").size[0] > 100
    assert call("report", "out/step-10", "--history", "out/history.parquet").code == 0
    page = (tmp_path / "out/step-10/report.html").read_text()
    for row in heads.itertuples():
        told = f"step {row.step}: {number(row.value)} {interval(row.low, row.high)}"
        assert told.strip() in page, "the report draws what the tracking noted"
    before = (tmp_path / "out/history.parquet").read_bytes()
    again = call("track", training, "--output", "out", *QUICK)
    assert "drawing" not in again.err
    assert (
        "nothing new: 2 checkpoints are evaluated, the last is step-10; 1 checkpoint is"
        in again.err
    )
    assert (tmp_path / "out/history.parquet").read_bytes() == before


def test_options_that_would_be_ignored_are_refused(
    call: Call, training: Path, tmp_path: Path
) -> None:
    """Checkpoints that were evaluated with other options are no part of the same history."""
    shutil.rmtree(training / "step-10")
    assert call("track", training, "--output", "out", *QUICK).code == 0
    for other, words in (
        (("--limit", 4), "--limit 3, not 4"),
        (("--seed", 7), "--seed 0, not 7"),
        (("--tasks", "toy_draw,toy_ask"), "without the task toy_ask"),
    ):
        done = call("track", training, "--output", "out", *QUICK, *other)
        assert done.code == 2
        said = " ".join(done.err.split())
        assert f"was evaluated with other options ({words})" in said and "--output" in said
    for option in ("--settle", "--every"):
        done = call("track", training, "--output", "out", *QUICK, option, "-1")
        assert done.code == 2 and f"{option} -1: give seconds" in done.err
    (tmp_path / "empty").mkdir()
    done = call("track", "empty", "--output", "new", *QUICK, "--baseline", "x")
    assert "no such run folder, and there is no checkpoint yet" in " ".join(done.err.split())


def test_a_checkpoint_that_is_being_written_waits(
    training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [c.step for c in checkpoints(training)] == [9, 10, 12]

    def grow(seconds: float) -> None:
        os.utime(training / "step-10/model.safetensors", ns=(1, 1))

    monkeypatch.setattr("harmon_eval.track.time.sleep", grow)
    assert [c.step for c in settled(training, 1.0)] == [9, 12]
