"""RISEBench: exact edits are complete, copies are not; what the judge is asked; its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import harmon_eval
from harmon_eval.core import Data, UserError
from harmon_eval.registry import task
from harmon_eval.tasks.rise import files, marks, mini
from tests.tasks.exact_edits import Exact

EDITS = [(i.edit.instruction, i.edit.source, i.edit.target) for i in mini.items()]


def test_exact_edits_are_complete_and_copies_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = harmon_eval.evaluate(Exact(EDITS), tasks="rise", output=tmp_path / "run")["rise"]
    assert found.n == 36 and found.score == 1.0
    assert found.headline == "rise_accuracy[shape-rules-1, our rubric, 3 of 4 categories]"
    assert found.metrics["rise_score"] == found.metrics["score_as_published"] == 100
    assert found.floors[found.headline]["copy_source"] == 0
    assert found.floors["mean_consistency"]["copy_source"] == 100
    assert found.floors["mean_reasoning"]["copy_source"] < 60


def at(folder: Path, **entry: object) -> Data:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    whole = {"index": "x_1", "instruction": "Solve it.", "image": "a.png", **entry}
    (folder / "data_total.json").write_text(json.dumps([whole]))
    return Data.at(folder)


def test_what_the_judge_is_asked(tmp_path: Path) -> None:
    """Two scores of a logical puzzle, beside its reference; no consistency where it is free."""
    image = tmp_path / "b.png"
    logical = at(tmp_path, category="logical_reasoning", reference_img="b.png")
    (sample,) = task("rise").samples(logical)
    consistency, reasoning = marks.judged(sample, tmp_path / "a.png")
    assert consistency.images == reasoning.images == (image, tmp_path / "a.png")
    assert "<0-1>" in reasoning.question and "Solve it." in reasoning.question
    free = at(tmp_path, category="causal_reasoning", reference="It fell.", consistency_free=True)
    (sample,) = task("rise").samples(free)
    assert set(marks.asked(sample, image)) == {"reasoning", "plausibility"}
    assert all(ask.images == (image,) for ask in marks.judged(sample, image))
    assert "It fell." in marks.judged(sample, image)[0].question


def test_a_puzzle_is_right_or_wrong() -> None:
    assert marks.parse_logical("Final Score: 1") == 5
    assert marks.parse_logical("Final Score: 0") == 1
    assert marks.parse_logical("Final Score: 5") is None


def test_flaws_are_named_and_results_are_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data_total\.json"):
        list(task("rise").samples(Data.at(tmp_path)))
    with pytest.raises(UserError, match="'odd' is no category"):
        list(task("rise").samples(at(tmp_path, category="odd")))
    with pytest.raises(UserError, match=r"the image 'c.png' is missing"):
        list(task("rise").samples(at(tmp_path, category="causal_reasoning", image="c.png")))
    own = tmp_path / "images" / "causal_reasoning"
    own.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(own / "causal_7.jpg")
    (drawn,) = files.read_images(tmp_path) or []
    assert drawn.sample == "causal_reasoning/causal_7"


def test_a_category_may_have_a_rubric_of_its_own(tmp_path: Path) -> None:
    spatial = at(tmp_path, category="spatial_reasoning")
    for name in files.RUBRICS:
        (tmp_path / f"rubric_{name}.txt").write_text(f"{name} {{instruct}}")
    (tmp_path / "rubric_spatial_reasoning.txt").write_text("space: {instruct} {reference}")
    (sample,) = task("rise").samples(spatial)
    assert sample.target["questions"]["reasoning"] == "space: Solve it. "
    assert sample.target["questions"]["consistency"] == "consistency Solve it."
    assert sample.target["rubric_kind"] == "given"
    (sample,) = task("rise").samples(at(tmp_path, category="causal_reasoning"))
    assert sample.target["questions"]["reasoning"] == "reasoning Solve it."
    (tmp_path / "rubric_reasoning.txt").unlink()
    with pytest.raises(UserError, match=r"rubric_reasoning\.txt is missing"):
        list(task("rise").samples(spatial))
