"""MMMU: tables, prompts, averages by subject and discipline, and what is unmatched."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harmon_eval import registry
from harmon_eval.tasks.mmmu.files import (
    DISCIPLINES,
    SUBJECTS,
    answer_files,
    ordered_images,
    phrased,
)
from harmon_eval.tasks.mmmu.task import TASK, summarize


def rows(**changes):
    """900 rows: 30 a subject, of which ``right`` are correct."""
    right = {subject: 10 for subject in SUBJECTS} | changes
    return pd.DataFrame(
        {
            "subject": subject,
            "choice": True,
            "options": "ABCD",
            "answer": "A",
            "known": True,
            "unmatched": False,
            "correct": i < right[subject],
        }
        for subject in SUBJECTS
        for i in range(30)
    )


def test_questions_are_averaged_by_discipline_and_overall():  # mmmu.md, E3
    found = summarize(rows(Art=15, Math=6))
    assert found["mmmu_val"] == pytest.approx(33.4444, abs=1e-4)
    assert found["Art_and_Design"] == pytest.approx(37.5)
    assert found["Science"] == pytest.approx(30.6667, abs=1e-4)


def test_what_random_letters_would_add_is_said():  # E4
    table = rows()
    wrong = table.index[~table["correct"]][:90]
    table.loc[wrong, "unmatched"] = True
    table.loc[wrong[:30], "options"] = "ABCDE"
    found = summarize(table)
    assert found["mmmu_val"] == pytest.approx(33.33, abs=0.01)
    assert (found["unmatched"], found["expected_random"]) == (90, pytest.approx(21))
    assert found["mmmu_val[random-letter]"] == pytest.approx(35.67, abs=0.01)


def test_the_named_mode_draws_the_letters_of_the_original():
    table = rows()[:6].assign(unmatched=True, correct=False)
    assert summarize(table)["mmmu_val[random-42]"] == pytest.approx(100 * 2 / 6)  # A A C B B B
    assert summarize(table)["mmmu_val"] == 0


def test_prompts():
    end = "\n\nAnswer with the option's letter from the given choices directly."
    options = {"A": "red", "B": "<image 2>"}
    assert (
        phrased("Q <image 1>", options, "official") == "Q <image 1>\n\n(A) red\n(B) <image 2>" + end
    )
    assert phrased("Q", options, "lmms-eval") == "Q\nA. red\nB. <image 2>" + end
    assert phrased("Q <image 1>", options, "vlmevalkit") == (
        "Question: Q <image 1>\nOptions:\nA. red\nB. <image 2>\n"
        "Please select the correct answer from the options above. \n"
    )
    assert phrased("Q", {}, "vlmevalkit") == "Question: Q\n"
    assert phrased("Q", {}, "official").endswith(
        "Q\n\nAnswer the question using a single word or phrase."
    )


def test_images_come_in_the_order_in_which_they_are_mentioned():
    images = {1: Path("1"), 2: Path("2"), 3: Path("3")}
    assert ordered_images("<image 2> and <image 1>, again <image 2>", images) == (
        Path("2"),
        Path("1"),
    )
    assert ordered_images("no marker", images) == tuple(images.values())


def test_thirty_subjects_in_six_disciplines():
    assert len(SUBJECTS) == 30
    assert [len(part) for part in DISCIPLINES.values()] == [4, 5, 5, 5, 4, 7]


def test_the_tables_give_choices_open_questions_and_an_answer_file(mini, marked):
    samples = list(TASK.samples(mini.data("mmmu", TASK)))
    assert {s.stratum for s in samples} == set(SUBJECTS)
    assert sum(not s.target["options"] for s in samples) == 30
    found = marked(TASK, samples, lambda s: "(B)" if s.target["options"] else "three")
    answers = json.loads(answer_files(samples, found)["answers.json"])
    assert answers["validation_Art_1"] == "B" and answers["validation_Art_8"] == "three"


def test_splits_are_variants():
    assert registry.task("mmmu:test+lmms-eval").version == "1, test, prompt lmms-eval"
