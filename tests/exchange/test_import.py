"""Logs of other tools as runs.

Those of lm-eval 0.4.13 and inspect_ai 0.3.285 in ``fixtures/logs`` were written by these tools, of
a made-up model, on questions of their own; those of VLMEvalKit are made as its source writes them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from PIL import Image

import harmon_eval
from harmon_eval import cli

from .imported import LOGS, brought_in

# -- lm-eval ----------------------------------------------------------------------------------


def test_lm_eval_marks_are_made_again_and_its_own_stay_beside(tmp_path: Path) -> None:
    run = brought_in(LOGS / "lm-eval", tmp_path / "run")
    fruit, sums = run["vqa:imported/fruit"], run["vqa:imported/sums"]
    # The likeliest of the continuations counts as the reply, as lm-eval's acc has it.
    assert fruit.metrics["accuracy"] == 50 and fruit.metrics["acc[lm-eval]"] == 0.5
    assert list(fruit.rows["parsed"]) == ["A", "A"]
    # What a filter of lm-eval reads from a reply is what is marked.
    assert list(sums.rows["reply"]) == ["The answer is 4."] * 2
    assert sums.metrics["accuracy"] == 50 and sums.interval is not None
    assert sums.metrics["exact_match,number[lm-eval]"] == 0.5
    assert sums.metrics["stated: exact_match,number"] == 0.5
    assert "stated: exact_match,number" not in sums.intervals
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["identity"]["model"]["name"] == "team/dummy"
    assert manifest["about"]["imported"] == "lm-eval"
    assert manifest["about"]["version"] == "0.4.13"


def test_marking_again_changes_nothing(tmp_path: Path) -> None:
    before = brought_in(LOGS / "lm-eval", tmp_path / "run")["vqa:imported/sums"].metrics
    assert cli.main(["mark", str(tmp_path / "run")]) == 0
    assert harmon_eval.load(tmp_path / "run")["vqa:imported/sums"].metrics == before


def test_two_logs_are_compared_question_by_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(LOGS / "lm-eval", other)
    (file,) = other.glob("samples_sums_*")
    file.write_text(file.read_text().replace('["4"]', '["7"]').replace("is 4", "is 7"))
    brought_in(LOGS / "lm-eval", tmp_path / "a")
    brought_in(other, tmp_path / "b")
    found = harmon_eval.compare(tmp_path / "a", tmp_path / "b", tasks="vqa:imported/sums")
    assert {change.id for change in found.changed} == {"0", "1"}
    assert cli.main(["report", str(tmp_path / "a"), "--against", str(tmp_path / "b")]) == 0
    page = (tmp_path / "a" / "report.html").read_text()
    assert "3+4?" in page and "The answer is 4." in page


def test_a_log_differs_from_itself_by_nothing(tmp_path: Path) -> None:
    """Logs do not identify weights, but the same files hold the same answers."""
    for name in "ab":
        brought_in(LOGS / "lm-eval", tmp_path / name)
    for other in "ab":
        found = harmon_eval.compare(tmp_path / "a", tmp_path / other, no_worse_than="0.01")
        assert found.code == 0 and "nothing can differ" in found.notes[0]


def test_where_our_rules_do_not_apply_the_headline_is_theirs(tmp_path: Path) -> None:
    shutil.copytree(LOGS / "lm-eval", tmp_path / "log")
    (file,) = (tmp_path / "log").glob("samples_sums_*")
    long = "four, since two and two are four and not five"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**row, "target": long}) + "\n" for row in rows))
    run = brought_in(tmp_path / "log", tmp_path / "run")
    own = run["vqa:imported/sums+theirs"]
    assert own.headline == "exact_match,number[lm-eval]" and own.score == 0.5
    assert "accuracy" not in own.metrics


# -- inspect ----------------------------------------------------------------------------------


def test_inspect_logs_are_read_as_json_and_as_archives(tmp_path: Path) -> None:
    run = brought_in(LOGS / "inspect", tmp_path / "run")
    colours, letters = run["vqa:imported/colours"], run["vqa:imported/letters"]
    assert colours.metrics["accuracy"] == pytest.approx(200 / 3)
    assert colours.metrics["match[inspect]"] == pytest.approx(2 / 3)
    assert letters.metrics["accuracy"] == 50 == 100 * letters.metrics["stated: accuracy"]
    assert list(letters.rows["reply"]) == ["ANSWER: B"] * 2
    (picture,) = (tmp_path / "run" / "imported" / "images").iterdir()
    assert Image.open(picture).size == (1, 1)


def test_a_failed_sample_of_a_log_is_unscored_with_its_reason(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    log["samples"][0]["error"] = {"message": "rate limit", "traceback": "", "traceback_ansi": ""}
    (tmp_path / "log.json").write_text(json.dumps(log))
    run = brought_in(tmp_path / "log.json", tmp_path / "run", code=1)
    assert run["vqa:imported/colours"].unscored == {"rate limit": 1}


def test_a_thought_in_a_reply_is_not_its_answer(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    for sample in log["samples"]:
        sample["output"]["completion"] = "<think>blue or green?</think>red"
        sample["scores"] = {}
    (tmp_path / "log.json").write_text(json.dumps(log))
    rows = brought_in(tmp_path / "log.json", tmp_path / "run")["vqa:imported/colours"].rows
    assert list(rows["parsed"]) == ["red"] * 3


# -- VLMEvalKit -------------------------------------------------------------------------------


def spreadsheet(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    book = Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(file)


def vlmevalkit_rows() -> list[dict[str, Any]]:
    replies = ("B", "The answer is A.", "Failed to obtain answer via API.")
    return [
        {
            "index": number,
            "question": f"Which is picture {number}?",
            "hint": None,
            "A": "a cat",
            "B": "a dog",
            "answer": "B",
            "category": "animals",
            "prediction": reply,
        }
        for number, reply in enumerate(replies)
    ]


def test_vlmevalkit_predictions_with_their_marks_and_totals(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen_VL"
    folder.mkdir()
    rows = vlmevalkit_rows()
    spreadsheet(folder / "Qwen_VL_Animals_DEV.xlsx", rows)
    marked = [{**row, "hit": hit} for row, hit in zip(rows, (1, 0, 0), strict=True)]
    spreadsheet(folder / "Qwen_VL_Animals_DEV_openai_result.xlsx", marked)
    (folder / "Qwen_VL_Animals_DEV_acc.csv").write_text('"split","Overall"\n"dev","0.3333"\n')
    run = brought_in(folder, tmp_path / "run", code=1)
    own = run["vqa:imported/Animals_DEV"]
    assert own.metrics["accuracy"] == 50 and own.n == 2  # a failed request is no wrong answer
    assert own.unscored == {"the request failed": 1}
    assert own.metrics["hit[vlmevalkit]"] == 0.5
    assert own.metrics["stated: Overall"] == 0.3333
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["identity"]["model"]["name"] == "Qwen_VL"


def test_the_newest_files_that_vlmevalkit_links_into_its_folder_are_read_once(
    tmp_path: Path,
) -> None:
    """OUTPUTS/MODEL/T20260101_Gabc/MODEL_DATASET.xlsx, and in OUTPUTS/MODEL links to them."""
    folder = tmp_path / "Qwen2-VL"
    written = folder / "T20260101_Gabc" / "Qwen2-VL_Colours.xlsx"
    written.parent.mkdir(parents=True)
    spreadsheet(written, vlmevalkit_rows())
    (folder / written.name).symlink_to(written.relative_to(folder))
    run = brought_in(folder, tmp_path / "run", code=1)
    assert list(run) == ["vqa:imported/Colours"]


def test_a_log_of_an_evaluation_that_did_not_finish_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    log |= {"status": "cancelled", "samples": log["samples"][:2]}
    log["eval"]["dataset"]["samples"] = 3
    (tmp_path / "log.json").write_text(json.dumps(log))
    brought_in(tmp_path / "log.json", tmp_path / "run")
    told = "the evaluation did not finish (status cancelled); it has 2 of 3 samples"
    assert told in " ".join(capsys.readouterr().err.split())
    about = json.loads((tmp_path / "run" / "manifest.json").read_text())["about"]
    assert about["remarks"] == [f"log.json: {told}"]


def test_samples_without_results_are_told_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (samples, *_) = (LOGS / "lm-eval").glob("samples_*.jsonl")
    shutil.copy(samples, tmp_path)
    for place in (tmp_path, tmp_path / samples.name):
        assert cli.main(["import", str(place), "--output", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert "a file of samples needs the file of results that was written with it" in said
