"""easy-VQA: the package's data, the mini twin, flaws, and what its questions say of a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Answer, Data, UserError
from harmon_eval.suites import load
from harmon_eval.tasks.easy_vqa.files import described, package, read_questions


def test_the_package_holds_the_published_test_split() -> None:
    """9,673 questions, 7,136 of them about yes or no, on 1,000 pictures of 64 x 64."""
    questions = read_questions(package("test"))
    kinds = [question.kind for question in questions]
    assert (len(questions), kinds.count("yes_no")) == (9_673, 7_136)
    assert len({question.image for question in questions}) == 1_000
    assert Image.open(questions[0].file).size == (64, 64)


def test_what_the_questions_say_is_in_the_picture() -> None:
    """The colour that they tell is that of the shape: far from the background's."""
    found = described(read_questions(package("test")))
    assert len(found) == 772
    red = [
        np.asarray(Image.open(file).convert("RGB"), float)
        for color, _, file in found.values()
        if color == "red"
    ]
    for image in red:
        shape = np.abs(image - image[0, 0]).sum(2) > 60
        r, g, b = image[shape].mean(0)
        assert r > g + 60 and r > b + 60


def test_a_yes_to_a_denial_tells_nothing_and_a_no_to_it_does(tmp_path: Path) -> None:
    rows = [
        ["is no red shape present?", "no", 0],
        ["is there a circle?", "yes", 0],
        ["is there not a blue shape?", "yes", 1],
        ["is there a triangle?", "no", 1],
    ]
    (tmp_path / "images").mkdir()
    for name in ("0", "1"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "questions.json").write_text(json.dumps(rows))
    found = described(read_questions(tmp_path))
    assert {name: own[:2] for name, own in found.items()} == {"0": ("red", "circle")}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "must be a list"),
        ([], "must be a list"),
        ([["a", "yes"]], "question 0: it must be"),
        ([["a", "yes", "../1"]], "question 0: it must be"),
        ([["a", "maybe", 0]], "'maybe' is none of the 13 answers"),
        ([["a", "yes", 7]], "'7.png' is missing"),
    ],
)
def test_a_flaw_is_named(tmp_path: Path, rows: Any, message: str) -> None:
    (tmp_path / "questions.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match=message):
        read_questions(tmp_path)


def test_a_reply_is_right_if_it_is_the_answer_and_nothing_else(tmp_path: Path) -> None:
    task = registry.task("easy_vqa")
    task.sources["mini"].make(tmp_path)
    first = next(iter(task.samples(Data.at(tmp_path))))
    wanted = first.target["answer"]
    said = {wanted: True, f"{wanted.upper()}.": True, f"it is {wanted}": False, "": False}
    rows = task.mark([Answer(first, reply) for reply in said], {})
    assert [row["correct"] for row in rows] == list(said.values())


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harmon_eval.files.packages.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'harmon-eval\[real\]'"):
        package("test")


def test_the_suite_real_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path))
    suite = load("real")
    sizes = {"easy_vqa": 9_673, "ocr": 76, "reconstruction": 26}
    for name, size in sizes.items():
        task = registry.task(name)
        assert len(list(task.samples(suite.data(name, task)))) == size, name
    with pytest.raises(UserError, match="has no data in the real suite"):
        task = registry.task("geneval")
        list(task.samples(suite.data("geneval", task)))
