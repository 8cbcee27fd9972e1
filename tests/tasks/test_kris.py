"""KRIS-Bench: exact edits get the most points, copies few; its folders and its totals by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval.core import Data, UserError
from harmon_eval.registry import task
from harmon_eval.tasks.kris import files, mini, rules
from tests.tasks.exact_edits import Exact

EDITS = [(i.edit.instruction, i.edit.source, i.edit.target) for i in mini.items()]


def test_exact_edits_get_the_most_and_copies_only_what_they_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = harmon_eval.evaluate(Exact(EDITS), tasks="kris", output=tmp_path / "run")["kris"]
    assert found.n == 50 and found.score is not None and found.score > 99
    assert found.headline == "kris[shape-rules-1, our rubric, 5 of 20 categories]"
    floors = found.floors["mean_instruction"]
    assert floors["copy_source"] == 0
    assert found.floors["mean_consistency"]["copy_source"] > 99
    written = json.loads((tmp_path / "run/kris/color_change/metrics.json").read_text())
    assert written["1"] == {
        "consistency_score": 5,
        "quality_score": 5,
        "instruction_score": 5,
    }


def test_scores_with_knowledge_weigh_more_by_hand() -> None:
    """Three scores of 1 (0 points) and four of 5 (100 points): 400 / 7, not 50."""
    rows = pd.DataFrame(
        {
            **{"category": category, "kris_group": rules.GROUP_OF[category], "kind": kind},
            **dict.fromkeys(rules.SCORES[:3], score),
            "knowledge": score if category == "biology" else float("nan"),
        }
        for category, kind, score in (
            ("color_change", "Factual", 1.0),
            ("biology", "Conceptual", 5.0),
        )
    ).assign(judge="j", rubric_kind="given")
    found = task("kris").summarize(rows)
    assert found["kris[j, 2 of 20 categories]"] == pytest.approx(400 / 7)
    assert (found["Factual"], found["Conceptual"], found["mean_quality"]) == (0, 100, 50)


def test_several_sources_and_knowledge(tmp_path: Path) -> None:
    own = tmp_path / "KRIS_Bench" / "biology"
    own.mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(own / name)
    entry = {"ori_img": ["a.jpg", "b.jpg"], "ins_en": "Grow it.", "explain_en": "It has leaves."}
    (own / "annotation.json").write_text(json.dumps({"7": entry}))
    (sample,) = task("kris").samples(Data.at(tmp_path))
    assert sample.id == "biology/7" and len(sample.request.files) == 2
    judged = task("kris").judged
    assert judged is not None
    consistency, quality, last = judged(sample, own / "a.jpg")
    assert len(consistency.images) == 3 and len(quality.images) == 1
    assert "It has leaves." in last.question and "knowledge_score" in last.question
    (own / "annotation.json").write_text(json.dumps({"7": {**entry, "ori_img": "c.jpg"}}))
    with pytest.raises(UserError, match=r"'c.jpg' is missing"):
        list(task("kris").samples(Data.at(tmp_path)))


def test_its_result_folder(tmp_path: Path) -> None:
    (tmp_path / "biology").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "biology" / "7.jpg")
    (drawn,) = files.read_images(tmp_path) or ()
    assert drawn.sample == "biology/7"
    assert files.read_images(tmp_path / "biology") is None
