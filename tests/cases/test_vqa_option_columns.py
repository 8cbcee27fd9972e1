"""Options in the forms that toolkits write: asked as A, B, C, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harmon_eval import registry
from harmon_eval.core import Answer, Data, UserError
from harmon_eval.tasks.vqa.files import LETTERS, read_questions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "options", "answers"),
    [
        ("abcd.csv", ["cat", "dog", "cow"], ["B"]),
        ("choices.parquet", ["cat", "dog"], ["B"]),
        ("optdict.jsonl", ["cat", "dog"], ["A"]),
        ("optpipe.jsonl", ["cat", "dog"], ["A"]),
        ("optlines.jsonl", ["cat", "dog"], ["A"]),
    ],
)
def test_the_case(shared_folder: Path, name: str, options: list[str], answers: list[str]) -> None:
    (row,) = read_questions(shared_folder / "cases/vqa-option-columns" / name)
    assert list(row.options.values()) == options and row.answers == answers
    assert "".join(row.options) == LETTERS[: len(options)]


def test_more_options_than_letters(shared_folder: Path) -> None:
    with pytest.raises(UserError, match="30 options are more than there are letters"):
        list(read_questions(shared_folder / "cases/vqa-option-columns/opt30.jsonl"))


def one(folder: Path, row: dict[str, Any], kind: str = "jsonl") -> Any:
    file = folder / f"mine.{kind}"
    full = {"question": "q?", **row}
    if kind == "jsonl":
        file.write_text(json.dumps(full))
    else:
        pd.DataFrame([full]).to_csv(file, index=False)
    (found,) = read_questions(file)
    return found


TWO = ["cat", "dog"]


@pytest.mark.parametrize(
    "row",
    [
        {"options": TWO},
        {"Options": TWO},
        {"choices": TWO},
        {"options": "['cat', 'dog']"},
        {"options": '["cat", "dog"]'},
        {"options": {"A": "cat", "B": "dog"}},
        {"options": {"b": "dog", "a": "cat"}},
        {"options": {"A": "cat", "B": "dog", "C": None}},
        {"options": "{'A': 'cat', 'B': 'dog'}"},
        {"options": {"label": ["A", "B"], "text": TWO}},
        {"options": "cat|dog"},
        {"options": "cat | dog"},
        {"options": "A. cat\nB. dog"},
        {"options": "(A) cat\n(B) dog\n"},
        {"options": ["A. cat", "B. dog"]},
        {"A": "cat", "B": "dog"},
        {"B": "dog", "A": "cat", "C": "", "D": None},
        {"option_a": "cat", "option_b": "dog"},
        {"optionA": "cat", "optionB": "dog"},
        {"choice_A": "cat", "choice_B": "dog"},
        {"option1": "cat", "option2": "dog"},
        {"option_0": "cat", "option_1": "dog"},
    ],
)
@pytest.mark.parametrize("answer", ["B", "dog", "b", "(B)", "B. dog"])
def test_forms_of_options(tmp_path: Path, row: dict[str, Any], answer: str) -> None:
    found = one(tmp_path, {**row, "answer": answer})
    assert found.options == {"A": "cat", "B": "dog"} and found.answers == ["B"]


def test_forms_in_csv(tmp_path: Path) -> None:
    for row in ({"options": "cat|dog"}, {"options": str(TWO)}, {"A": "cat", "B": "dog", "C": ""}):
        assert one(tmp_path, {**row, "answer": "B"}, "csv").answers == ["B"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"options": "cat", "answer": "A"}, "options is one text, 'cat': give a list"),
        ({"options": ["cat"], "answer": "A"}, "there is one option"),
        ({"options": 7, "answer": "A"}, "options is '7': give a list"),
        ({"options": [["cat"], ["dog"]], "answer": "A"}, "an option is no text"),
        ({"options": ["cat", None, "cow"], "answer": "A"}, "option 2 of 3 is empty"),
        (
            {"options": {"x": "cat", "y": "dog"}, "answer": "A"},
            "options do not go A, B, C",
        ),
        (
            {"options": {"A": "cat", "C": "dog"}, "answer": "A"},
            "options do not go A, B, C",
        ),
        ({"options": "[cat, dog]", "answer": "A"}, "begins like a list and is none"),
        ({"A": "cat", "B": "", "C": "cow", "answer": "A"}, "option 2 of 3 is empty"),
        ({"A": "cat", "C": "cow", "answer": "A"}, "not from A on without a gap"),
        ({"options": TWO, "A": "cat", "B": "dog", "answer": "A"}, "keep one"),
        ({"candidates": TWO, "answer": "cat"}, "the column 'candidates' looks like options"),
        ({"wrong_choices": TWO, "answer": "cat"}, "looks like options"),
        ({"answer": "B"}, "is a letter and the row has no options"),
        ({"options": TWO, "answer": "A,B"}, "has several letters"),
        ({"options": TWO, "answer": "AB"}, "has several letters"),
        ({"options": TWO, "answer": 1}, "the answer '1' is none of the options"),
        ({"options": ["cat", "cat"], "answer": "cat"}, "the text of several options"),
        ({"options": TWO, "answer": {"x": 1}}, "holds more than texts"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        one(tmp_path, row)


def test_a_letter_that_is_to_be_read(tmp_path: Path) -> None:
    assert one(tmp_path, {"answer": ["B"]}).answers == ["B"]


def test_any_of_several_right_letters_counts(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    row = {"question": "q?", "options": ["cat", "dog", "cow"], "answer": ["A", "cow"]}
    file.write_text(json.dumps(row))
    task = registry.task(f"vqa:{file}")
    (sample,) = task.samples(Data.at(tmp_path))
    assert sample.target["answers"] == ["A", "C"]
    marks = task.mark([Answer(sample, reply) for reply in "ABC"], {})
    assert [mark["correct"] for mark in marks] == [True, False, True]


def test_all_26_letters(tmp_path: Path) -> None:
    texts = [f"thing {number}" for number in range(26)]
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"question": "q?", "options": texts, "answer": "thing 25"}))
    task = registry.task(f"vqa:{file}")
    (sample,) = task.samples(Data.at(tmp_path))
    assert sample.target["answers"] == ["Z"] and "Z. thing 25" in sample.request.question
    replies = ["Z", "Y", "I can't process this file."]  # a refusal is no Z
    marks = task.mark([Answer(sample, reply) for reply in replies], {})
    assert [mark["correct"] for mark in marks] == [True, False, False]


def test_a_hint_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"hint": "It barks.", "question": "q?", "answer": "dog"}))
    (sample,) = registry.task(f"vqa:{file}").samples(Data.at(tmp_path))
    assert sample.request.question.startswith("It barks.\nq?\n")
