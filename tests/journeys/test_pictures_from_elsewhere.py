"""Pictures that something else drew: folder, marks, report, leaderboard."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import registry
from harmon_eval.suites import load

Call = Callable[..., Any]


@pytest.fixture
def elsewhere(call: Call, tmp_path: Path) -> Path:
    """A run's pictures as another tool would leave them: a folder with a list of prompts."""
    drawn = call(
        *("--model", "scripted", "--tasks", "geneval", "--limit", 4, "--output", "theirs"),
        "--predict-only",
    )
    assert drawn.code == 0 and not list((tmp_path / "theirs").rglob("metrics.json"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    listed = []
    task = registry.task("geneval")
    for number, sample in enumerate(task.samples(load("mini").data("geneval", task))):
        file = tmp_path / "theirs/geneval/images" / f"{sample.id}.png"
        if file.is_file():
            shutil.copy(file, folder / f"{number:05d}.png")
            listed.append({"file": f"{number:05d}.png", "prompt": sample.request.text})
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, listed)))
    return folder


def test_pictures_are_drawn_elsewhere_stored_marked_shown_and_ranked(
    call: Call, elsewhere: Path, tmp_path: Path
) -> None:
    run = ("--model", f"folder:{elsewhere}", "--tasks", "geneval", "--limit", 4, "--output", "run")
    assert call(*run, "--dry-run").code == 0
    assert call(*run, "--predict-only").code == 0
    assert json.loads((tmp_path / "run/manifest.json").read_text())["tasks"]["geneval"][
        "state"
    ] == ("asked, to be marked")
    assert call("mark", "run").code == 0
    theirs, ours = (
        call("mark", "theirs"),
        json.loads((tmp_path / "run/geneval/metrics.json").read_text()),
    )
    assert theirs.code == 0
    found = json.loads((tmp_path / "theirs/geneval/metrics.json").read_text())
    assert ours["metrics"] == found["metrics"], "the same pictures, the same scores"
    assert call("report", "run", "--against", "theirs").code == 0
    page = (tmp_path / "run/report.html").read_text()
    assert "geneval" in page and "data:image/" in page
    board = call("leaderboard", "run", "theirs", "--output", "board.csv")
    assert board.code == 0
    rows = list(csv.DictReader((tmp_path / "board.csv").open()))
    assert {row["model"] for row in rows} >= {"folder:pictures", "scripted"}


def test_scores_outlive_pictures_that_are_deleted(
    call: Call, elsewhere: Path, tmp_path: Path
) -> None:
    call("mark", "theirs")
    file = tmp_path / "theirs/geneval/metrics.json"
    before = file.read_bytes()
    shutil.rmtree(tmp_path / "theirs/geneval/images")
    refused = call("mark", "theirs")
    assert refused.code == 2 and "nothing was changed" in refused.err
    assert file.read_bytes() == before
    assert call("show", "theirs").code == 0
