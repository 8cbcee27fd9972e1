"""OmniContext: exact pictures get full marks, trivial models do not; its files and its judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import harmon_eval
from harmon_eval.core import Data, UserError
from harmon_eval.registry import task
from harmon_eval.suites.mini.edit_judge import NotJudged
from harmon_eval.suites.mini.references import KINDS, judge_references, sample_reference
from harmon_eval.suites.mini.scenes import Scene, render
from harmon_eval.tasks.omnicontext import files, marks, mini, rules
from tests.tasks.exact_edits import Exact

REFERENCES = [item.reference for item in mini.items()]
EDITS = [(r.instruction, r.sources[0], r.target) for r in REFERENCES]


def test_exact_pictures_get_full_marks_and_trivial_models_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    found = harmon_eval.evaluate(Exact(EDITS), tasks="omnicontext", output=tmp_path / "run")
    result = found["omnicontext"]
    assert result.n == result.total == 48 and result.score == 10
    assert result.headline == "omnicontext[shape-rules-1, our rubric, 3 of 8 kinds]"
    assert result.metrics["official_would_guess"] == result.metrics["official_would_stop"] == 0
    floors = result.floors[result.headline]
    assert floors["copy_source"] < 4 and floors["ignore_source"] < 4
    lines = (tmp_path / "run/omnicontext/single_object/score.jsonl").read_text().splitlines()
    assert len(lines) == 16 and set(json.loads(lines[0])) >= {"key", "PF_score", "SC_score"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_tell_what_was_followed_from_whose_objects_they_are(kind: str) -> None:
    for number in range(8):
        own = sample_reference(np.random.default_rng((5, number)), kind)
        sources, target = [render(scene) for scene in own.sources], own.target
        assert judge_references(sources, render(target), own.instruction) == (10, 10)
        painted = Scene(
            tuple(
                type(item)(item.shape, other(item.color), item.x, item.y, item.radius)
                for item in target.items
            ),
            target.background,
        )
        followed, alike = judge_references(sources, render(painted), own.instruction)
        assert followed == 10 and alike <= 5
        alone = Scene(target.items[:-1], target.background)
        assert judge_references(sources, render(alone), own.instruction)[0] < 10
    with pytest.raises(NotJudged):
        judge_references(sources, sources[0], "Make it nice.")


def other(color: str) -> str:
    return "red" if color != "red" else "blue"


def test_replies_are_one_number_and_the_originals_faults_are_known() -> None:
    assert rules.parse('{"score": 8, "reasoning": "r"}') == rules.parse("{score: 8}") == 8
    assert rules.parse('{"score": [8]}') == 8
    for reply in ('{"score": [8, 6]}', '{"score": 11}', "nothing", '{"score": null}'):
        assert rules.parse(reply) is None
    assert rules.original_guesses("nothing") and not rules.original_guesses('{"score": 8}')
    assert rules.original_stops('{"score": [8]}') and not rules.original_stops('{"score": 8}')
    assert rules.scores(4, 9) == {"PF": 4, "SC": 9, "O": 6}


def table(folder: Path, **changed: object) -> Data:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    Image.new("RGB", (1500, 1000), "red").save(buffer, "PNG")
    image = {"bytes": buffer.getvalue(), "path": "a.png"}
    row = {
        **{"task_type": "multiple_object", "key": "k", "instruction": "Show both."},
        **{"instruction_language": "en", "input_images": [image, image], **changed},
    }
    pq.write_table(pa.Table.from_pylist([row]), folder / "train-0.parquet")
    return Data.at(folder)


def test_the_judge_sees_all_sources_and_then_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources of more than 1024 x 1024 pixels are shrunk, to sides of whole sixteens."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    (sample,) = task("omnicontext").samples(table(tmp_path))
    assert sample.id == "multi_object/k" and len(sample.request.files) == 2
    following, subjects = marks.judged(sample, sample.request.files[0])
    assert following.images == subjects.images and len(following.images) == 3
    assert Image.open(following.images[0]).size == (1248, 832)
    assert Image.open(following.images[2]).size == (1500, 1000)
    assert "Show both." in following.question and "Show both." in subjects.question


def test_official_rubrics_are_taken_from_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    data = table(tmp_path, task_type="scene_object")
    for name in rules.RUBRICS:
        (tmp_path / f"rubric_{name}.txt").write_text(f"{name}: <instruction>")
    (sample,) = task("omnicontext").samples(data)
    assert sample.target["questions"]["following"] == "following_scene: Show both."
    assert sample.target["rubric_kind"] == "given"
    (tmp_path / "rubric_subjects.txt").unlink()
    with pytest.raises(UserError, match=r"rubric_subjects\.txt is missing"):
        list(task("omnicontext").samples(data))


def test_flaws_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="task_type 'triple'"):
        list(task("omnicontext").samples(table(tmp_path, task_type="triple")))
    with pytest.raises(UserError, match="lacks its instruction or an image"):
        list(
            task("omnicontext").samples(table(tmp_path, input_images=[{"bytes": b"", "path": ""}]))
        )


def test_result_folders_are_read_and_the_original_averages_agree(tmp_path: Path) -> None:
    own = tmp_path / "model" / "fullset" / "multiple_object"
    own.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(own / "k.png")
    (drawn,) = files.read_images(tmp_path) or []
    assert drawn.sample == "multi_object/k"
    rows = pd.DataFrame(
        {
            "task_type": ["single_object", "single_object", "scene_object"],
            "judge": "j",
            **{"PF": [4.0, 9.0, 1.0], "SC": [9.0, 4.0, 1.0], "O": [6.0, 6.0, 1.0]},
            **{"original_guesses": False, "original_stops": False},
        }
    )
    found = task("omnicontext").summarize(rows)
    assert found["omnicontext[j, 2 of 8 kinds]"] == 3.5
    assert found["omnicontext_PF[j, 2 of 8 kinds]"] == 3.75
