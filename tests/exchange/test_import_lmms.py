"""Logs of lmms-eval 0.7.3, made here as its source writes them: questions and drawings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import harmon_eval
from harmon_eval import cli, registry, suites
from harmon_eval.core import Sample
from harmon_eval.running.jobs import RunSettings, prepare

from .imported import Yes, brought_in


@pytest.fixture(scope="module")
def pope() -> list[Sample]:
    job = prepare("pope", registry.task("pope"), suites.load("mini"), RunSettings())
    return list(job.everything)


def lmms_log(folder: Path, lines: Sequence[Mapping[str, Any]], task: str = "pope") -> Path:
    folder.mkdir()
    results = {
        "results": {
            task: {"alias": task, "pope_f1_score,none": 0.9, "pope_f1_score_stderr,none": "N/A"}
        },
        "configs": {task: {}},
        "higher_is_better": {task: {"pope_f1_score": True}},
        "config": {"model": "llava", "model_args": "pretrained=team/llava,device_map=auto"},
    }
    (folder / "20260102_030405_results.json").write_text(json.dumps(results))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"20260102_030405_samples_{task}.jsonl").write_text(text)
    return folder


def lmms_line(number: int, sample: Sample, reply: str) -> dict[str, Any]:
    """As of lmms-eval's POPE, whose text is the same for many pictures."""
    detail = {
        "question_id": number,
        "score": float(reply == sample.target["label"]),
        "prediction": reply,
        "ground_truth": sample.target["label"],
    }
    return {
        "doc_id": number,
        "target": sample.target["label"],
        "filtered_resps": [reply],
        "token_counts": [None],
        "doc_hash": "0",
        "pope_accuracy": detail,
        "pope_f1_score": detail,
        "input": sample.request.text,
        "input_media": [sample.target["image"]],
    }


def test_lmms_eval_on_a_known_benchmark_is_marked_by_the_benchmarks_rules(
    tmp_path: Path, pope: list[Sample]
) -> None:
    lines = [lmms_line(number, sample, "yes") for number, sample in enumerate(pope)]
    run = brought_in(lmms_log(tmp_path / "log", lines), tmp_path / "run", "--suite", "mini")
    own = harmon_eval.evaluate(Yes(), "pope", output=tmp_path / "own")["pope"]
    assert dict(run["pope"].metrics) == pytest.approx(dict(own.metrics))
    assert run["pope"].intervals == own.intervals
    beside = run["vqa:imported/pope"].metrics
    right = sum(sample.target["label"] == "yes" for sample in pope) / len(pope)
    assert beside["pope_accuracy[lmms-eval]"] == pytest.approx(right)
    assert beside["stated: pope_f1_score"] == 0.9
    found = harmon_eval.compare(tmp_path / "own", tmp_path / "run", tasks="pope", any_settings=True)
    assert found.code == 0 and len(found.changed) == 0


def test_a_question_about_several_pictures_goes_to_none_by_chance(
    tmp_path: Path, pope: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [sample.request.text for sample in pope]
    shared = next(s for s in pope if texts.count(s.request.text) > 1)
    line = {**lmms_line(0, shared, "yes"), "input_media": []}
    run = brought_in(lmms_log(tmp_path / "log", [line]), tmp_path / "run", "--suite", "mini")
    assert "pope" not in run
    assert "1 of the log fit several samples" in capsys.readouterr().err
    assert run["vqa:imported/pope"].n == 1


def test_samples_that_the_log_lacks_are_unscored(tmp_path: Path, pope: list[Sample]) -> None:
    lines = [lmms_line(number, sample, "yes") for number, sample in enumerate(pope[:20])]
    log = lmms_log(tmp_path / "log", lines)
    own = brought_in(log, tmp_path / "run", "--suite", "mini", code=1)["pope"]
    assert own.n == 20 and sum(own.unscored.values()) == len(pope) - 20


def test_a_task_of_another_name_is_named(
    tmp_path: Path, pope: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [lmms_line(number, sample, "yes") for number, sample in enumerate(pope)]
    log = lmms_log(tmp_path / "log", lines, "our_pope")
    run = brought_in(log, tmp_path / "run", "--suite", "mini", "--task", "our_pope=pope")
    assert run["pope"].n == len(pope)
    assert cli.main(["import", str(log), "--output", str(tmp_path / "x"), "--task", "a=pope"]) == 2
    assert "has no task 'a': it has our_pope" in capsys.readouterr().err


def test_what_was_exported_comes_back_with_the_same_numbers(tmp_path: Path) -> None:
    own = harmon_eval.evaluate(Yes(), "vqa", output=tmp_path / "own")["vqa"]
    for form in ("lm-eval", "lmms-eval", "inspect"):
        to = tmp_path / form
        assert (
            cli.main(["export", str(tmp_path / "own"), "--format", form, "--output", str(to)]) == 0
        )
        run = brought_in(to, tmp_path / f"{form}-run", "--suite", "mini")
        assert dict(run["vqa"].metrics) == pytest.approx(dict(own.metrics)), form
