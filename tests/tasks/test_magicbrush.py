"""MagicBrush: targets are perfect, copies are not; sessions follow on; its files and its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import harmon_eval
from harmon_eval import cli
from harmon_eval.core import Data, UserError
from harmon_eval.registry import task
from harmon_eval.tasks.magicbrush import files, mini
from tests.tasks.exact_edits import Exact

EDITS = [(t.instruction, t.source, t.target) for _, session in mini.sessions() for t in session]


@pytest.mark.parametrize(("name", "counted"), [("magicbrush", 48), ("magicbrush:multi", 24)])
def test_exact_targets_are_perfect_and_a_copy_of_the_source_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, counted: int
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = harmon_eval.evaluate(Exact(EDITS), tasks=name, output=tmp_path / "run")[name]
    assert found.headline == "dino_to_target[mini]" and found.score == pytest.approx(1.0)
    assert found.metrics["clip_i_to_target[shape-counts]"] == pytest.approx(1.0)
    assert found.metrics["clip_t_to_target_caption[shape-counts]"] > 0.97
    assert found.metrics["l1_to_target"] == found.metrics["l2_to_target"] == 0
    assert found.counts["l1_to_target"].n == counted
    floors = found.floors
    for trivial in ("copy_source", "ignore_source"):
        assert floors["dino_to_target[mini]"][trivial] < 0.97
        assert floors["l1_to_target"][trivial] > 0.005


def test_its_result_folder_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    harmon_eval.evaluate(Exact(EDITS), tasks="magicbrush:multi", output=tmp_path / "run", limit=3)
    out = tmp_path / "out"
    assert cli.main(["export", str(tmp_path / "run"), "magicbrush:multi", str(out)]) == 0
    names = sorted(file.name for file in out.rglob("*.png"))
    assert len(names) == 6 and any(name.endswith("_iter_2.png") for name in names)
    samples = {str(drawn.sample) for drawn in files.read_images(out) or ()}
    assert len(samples) == 6 and any(sample.endswith("/iter_2") for sample in samples)


def test_l1_and_l2_by_hand_at_the_targets_size(tmp_path: Path) -> None:
    """One of four equal pixels differs by 51 (0.2) in all channels: L1 0.05, L2 0.01."""
    from harmon_eval.instruments.likeness import distances

    target = Image.new("RGB", (2, 2))
    target.save(tmp_path / "target.png")
    target.putpixel((0, 0), (51, 51, 51))
    target.save(tmp_path / "result.png")
    found = distances(tmp_path / "result.png", tmp_path / "target.png")
    assert found == pytest.approx((0.05, 0.01))
    Image.new("RGB", (7, 5), (51, 51, 51)).save(tmp_path / "result.png")
    found = distances(tmp_path / "result.png", tmp_path / "target.png")
    assert found == pytest.approx((0.2, 0.04))


def test_a_flaw_in_the_sessions_is_named(tmp_path: Path) -> None:
    own = tmp_path / "images" / "7"
    own.mkdir(parents=True)
    for name in ("7-input.png", "7-output1.png"):
        Image.new("RGB", (8, 8)).save(own / name)
    turn = {"input": "7-input.png", "output": "7-output1.png", "instruction": "Add a hat."}
    (tmp_path / files.SESSIONS).write_text(json.dumps({"7": [turn]}))
    (sample,) = task("magicbrush").samples(Data.at(tmp_path))
    assert (sample.id, sample.target["caption"]) == ("7/1", "")
    (tmp_path / files.SESSIONS).write_text(json.dumps({"7": [{**turn, "output": "7-o.png"}]}))
    with pytest.raises(UserError, match=r"turn 1: the image '7-o.png' is missing"):
        list(task("magicbrush").samples(Data.at(tmp_path)))
    with pytest.raises(UserError, match="give multi"):
        task("magicbrush:iter")
