"""GQA: balanced questions, open and binary, and the official prediction file."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from harmon_eval.tasks.gqa import TASK, exports, summarize


def write(folder, structural, **changes):
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "images" / "n1.jpg")
    entries = {
        f"00{i}": {"question": "What?", "answer": "red", "imageId": "n1", "isBalanced": True,
                   "types": {"structural": kind, "semantic": "attr"}, **changes}
        for i, kind in enumerate(structural)
    }  # fmt: skip
    entries["x"] = {**entries["000"], "isBalanced": False}
    (folder / "testdev_balanced_questions.json").write_text(json.dumps(entries))


@pytest.fixture
def five(folder_suite, tmp_path):
    write(tmp_path, ("query", "query", "verify", "choose", "compare"))
    return list(TASK.samples(folder_suite()))


def test_open_and_binary(five, marked):  # gqa.md, E2 and E3
    assert [s.id for s in five] == ["000", "001", "002", "003", "004"]  # leading zeros stay
    right = {"000", "002", "003"}
    found = summarize(marked(TASK, five, lambda s: "Red." if s.id in right else "blue"))
    assert found["gqa_accuracy"] == pytest.approx(60)
    assert found["gqa_open"] == pytest.approx(50)
    assert found["gqa_binary"] == pytest.approx(66.67, abs=0.01)
    assert found["gqa_accuracy[vlmevalkit]"] == 0  # the full stop


def test_replies_are_stripped_first_and_long_ones_counted(five, marked):
    found = summarize(marked(TASK, five, lambda s: " red\n" if s.id == "000" else "It is all red"))
    assert (found["gqa_accuracy"], found["long_replies"]) == (20, 4)


def test_the_prompt_asks_for_a_word(five):
    assert five[0].request.question == ("What?\nAnswer the question using a single word or phrase.")
    assert {s.group for s in five} == {"n1"}


def test_the_prediction_file_is_that_of_the_official_script(five, marked):
    files = exports(five, marked(TASK, five, lambda s: " Red. "))
    assert json.loads(files["testdev_balanced_predictions.json"])[0] == {
        "questionId": "000",
        "prediction": "red",
    }
