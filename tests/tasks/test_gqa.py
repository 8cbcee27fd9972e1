"""GQA: balanced questions, open and binary, and the official prediction file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harmon_eval.replies.gqa_answers import distribution
from harmon_eval.tasks.gqa.task import TASK, answer_files, summarize


def write(folder: Path, structural: Any, **changes: Any) -> None:
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "images" / "n1.jpg")
    entries = {
        f"00{i}": {
            "question": "What?",
            "answer": "red",
            "imageId": "n1",
            "isBalanced": True,
            "types": {"structural": kind, "semantic": "attr"},
            **changes,
        }
        for i, kind in enumerate(structural)
    }
    entries["x"] = {**entries["000"], "isBalanced": False}
    (folder / "testdev_balanced_questions.json").write_text(json.dumps(entries))


@pytest.fixture
def five(data_at: Any, tmp_path: Path) -> Any:
    write(tmp_path, ("query", "query", "verify", "choose", "compare"))
    return list(TASK.samples(data_at()))


def test_open_and_binary(five: Any, marked: Any) -> None:  # gqa.md, E2 and E3
    assert [s.id for s in five] == ["000", "001", "002", "003", "004"]  # leading zeros stay
    right = {"000", "002", "003"}
    found = summarize(marked(TASK, five, lambda s: "Red." if s.id in right else "blue"))
    assert found["gqa_accuracy"] == pytest.approx(60)
    assert found["gqa_open"] == pytest.approx(50)
    assert found["gqa_binary"] == pytest.approx(66.67, abs=0.01)
    assert found["gqa_accuracy[vlmevalkit]"] == 0  # the full stop


def test_replies_are_stripped_first_and_long_ones_counted(five: Any, marked: Any) -> None:
    found = summarize(marked(TASK, five, lambda s: " red\n" if s.id == "000" else "It is all red"))
    assert (found["gqa_accuracy"], found["long_replies"]) == (20, 4)


def test_the_prompt_asks_for_a_word(five: Any) -> None:
    assert five[0].request.question == ("What?\nAnswer the question using a single word or phrase.")
    assert {s.group for s in five} == {"n1"}


def test_the_prediction_file_is_that_of_the_official_script(five: Any, marked: Any) -> None:
    files = answer_files(five, marked(TASK, five, lambda s: " Red. "))
    assert json.loads(files["testdev_balanced_predictions.json"])[0] == {
        "questionId": "000",
        "prediction": "red",
    }


def test_distribution_is_the_chi_square_of_the_official_script() -> None:
    """Group a: red 3 and blue 1 are true, red 2 and green 2 are given: 1/3 + 1 = 4/3.
    Group b: yes twice, given twice: 0. Weighted by 4 and 2: (4/3 x 4 + 0 x 2) / 6 = 8/9, which
    the script divides by 100 before it prints it."""
    pairs = [("red", "red"), ("red", "red"), ("red", "green"), ("blue", "green")]
    answers = [*(("a", *pair) for pair in pairs), *[("b", "yes", "yes")] * 2]
    assert distribution(answers) == pytest.approx(8 / 900)
    assert distribution([*answers, ("", "no", "yes")]) == pytest.approx(8 / 900)  # of no group
    assert math.isnan(distribution([("", "no", "no")]))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["yes", "no"]))), st.randoms())
def test_distribution_is_zero_for_the_same_answers_in_another_order(
    truths: Any, random: Any
) -> None:
    for group in "ab":
        own = [truth for g, truth in truths if g == group]
        given_answers = random.sample(own, len(own))
        table = [(group, *pair) for pair in zip(own, given_answers, strict=True)]
        assert not own or distribution(table) == 0


def test_the_rows_know_group_words_and_steps_of_reasoning(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    program = [
        {"operation": "select", "argument": "dog (1)"},
        {"operation": "query", "argument": "name"},
        {"operation": "verify color", "argument": "red"},
    ]
    write(
        tmp_path,
        ("query", "verify"),
        groups={"global": "color", "local": None},
        semantic=program,
        question="Which dog is it?",
    )
    samples = list(TASK.samples(data_at()))
    assert samples[0].target["global"] == "color"
    assert (samples[0].target["words"], samples[0].target["steps"]) == (4, 2)
    rows = marked(TASK, samples, lambda s: "red" if s.id == "000" else "blue")
    assert summarize(rows)["distribution"] == pytest.approx(1 / 200)  # red: 2 true, 1 given
    lengths = answer_files(samples, rows)["accuracy_by_length.csv"].splitlines()
    assert lengths == ["length,of,questions,accuracy", "words,4,2,50.0", "steps,2,2,50.0"]
