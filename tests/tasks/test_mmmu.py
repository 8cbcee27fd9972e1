"""MMMU: tables, prompts, averages by subject and discipline, and what is unmatched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.tasks.mmmu.files import (
    DISCIPLINES,
    SUBJECTS,
    answer_files,
    ordered_images,
    phrased,
)
from harmon_eval.tasks.mmmu.task import TASK, summarize


def rows(**changes: Any) -> Any:
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
            "number": i + 1,
            "correct": i < right[subject],
            "empty-tail": i < right[subject],
        }
        for subject in SUBJECTS
        for i in range(30)
    )


def test_questions_are_averaged_by_discipline_and_overall() -> None:  # mmmu.md, E3
    found = summarize(rows(Art=15, Math=6))
    assert found["mmmu_val"] == pytest.approx(33.4444, abs=1e-4)
    assert found["Art_and_Design"] == pytest.approx(37.5)
    assert found["Science"] == pytest.approx(30.6667, abs=1e-4)


def test_what_random_letters_would_add_is_said() -> None:  # E4
    table = rows()
    wrong = table.index[~table["correct"]][:90]
    table.loc[wrong, "unmatched"] = True
    table.loc[wrong[:30], "options"] = "ABCDE"
    found = summarize(table)
    assert found["mmmu_val"] == pytest.approx(33.33, abs=0.01)
    assert (found["unmatched"], found["expected_random"]) == (90, pytest.approx(21))
    assert found["mmmu_val[random-letter]"] == pytest.approx(35.67, abs=0.01)


def test_the_named_mode_draws_the_letters_of_the_original() -> None:
    table = rows()[:6].assign(unmatched=True, correct=False)
    assert summarize(table)["mmmu_val[random-42]"] == pytest.approx(100 * 2 / 6)  # A A C B B B
    assert summarize(table)["mmmu_val"] == 0


def test_prompts() -> None:
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


def test_images_come_in_the_order_in_which_they_are_mentioned() -> None:
    images = {1: Path("1"), 2: Path("2"), 3: Path("3")}
    assert ordered_images("<image 2> and <image 1>, again <image 2>", images) == (
        Path("2"),
        Path("1"),
    )
    assert ordered_images("no marker", images) == tuple(images.values())


def test_thirty_subjects_in_six_disciplines() -> None:
    assert len(SUBJECTS) == 30
    assert [len(part) for part in DISCIPLINES.values()] == [4, 5, 5, 5, 4, 7]


def test_the_tables_give_choices_open_questions_and_an_answer_file(mini: Any, marked: Any) -> None:
    samples = list(TASK.samples(mini.data("mmmu", TASK)))
    assert {s.stratum for s in samples} == set(SUBJECTS)
    assert sum(not s.target["options"] for s in samples) == 30
    found = marked(TASK, samples, lambda s: "(B)" if s.target["options"] else "three")
    answers = json.loads(answer_files(samples, found)["answers.json"])
    assert answers["validation_Art_1"] == "B" and answers["validation_Art_8"] == "three"


def test_splits_are_variants() -> None:
    assert registry.task("mmmu:test+lmms-eval").version == "2, test, prompt lmms-eval"


def test_letters_are_drawn_by_subject_in_the_order_of_the_alphabet() -> None:
    """Accounting, Agriculture, Architecture ... as the original goes, not by discipline (there Art
    comes first); of a subject by the questions' numbers, whatever the order of the table."""
    subjects = ["Art", "Agriculture", "Accounting", "Sociology", "Accounting", "Music"]
    numbers = [1, 1, 2, 1, 1, 1]
    table = rows()[:6].assign(
        subject=subjects, number=numbers, unmatched=True, correct=False, answer=list("CACBAB")
    )
    # Drawn: A A C B B B for Accounting 1 and 2, Agriculture, Art, Music, Sociology.
    table["answer"] = ["B", "C", "A", "B", "A", "B"]
    assert summarize(table)["mmmu_val[random-42]"] == pytest.approx(100)
    table["answer"] = ["A", "A", "C", "B", "B", "B"]  # the draws in the order of the table
    assert summarize(table)["mmmu_val[random-42]"] == pytest.approx(100 * 2 / 6)


def test_an_indicator_that_ends_its_line_is_read_by_both_rules(mini: Any, marked: Any) -> None:
    samples = [s for s in TASK.samples(mini.data("mmmu", TASK)) if not s.target["options"]]

    def reply(sample: Any) -> str:
        return f"The answer is \n{sample.target['answer']}"

    found = summarize(marked(TASK, samples, reply))
    assert found["mmmu_open"] == found["mmmu_val"] == 0, "the original reads `is`"
    assert found["mmmu_open[empty-tail]"] == found["mmmu_val[empty-tail]"] == 100


def of_test_split(folder: Path, mini: Any, answer: Any) -> Iterator[Any]:
    """The mini suite's tables as those of the test split, with these answers."""
    source = mini.data("mmmu", TASK).folder
    for subject in SUBJECTS:
        (file,) = (source / subject).glob("validation-*.parquet")
        found = parquet.read_table(file).to_pylist()
        truths = {
            row["id"].replace("validation", "test"): {
                "question_type": row["question_type"],
                "ground_truth": row["answer"],
            }
            for row in found
        }
        changed = [
            {**row, "id": row["id"].replace("validation", "test"), "answer": answer(row)}
            for row in found
        ]
        (folder / subject).mkdir()
        table = pa.Table.from_pylist(changed)
        parquet.write_table(table, folder / subject / "test-00000-of-00001.parquet")
        yield truths


def test_the_test_split_is_marked_here_where_its_answers_are(
    mini: Any, data_at: Any, tmp_path: Path, marked: Any
) -> None:
    task = registry.task("mmmu:test")
    truths = {}
    for part in of_test_split(tmp_path, mini, lambda row: "?"):
        truths |= part
    samples = list(task.samples(data_at()))

    def reply(sample: Any) -> Any:
        return truths[sample.id]["ground_truth"]

    hidden = marked(task, samples, reply)
    assert task.summarize(hidden) == {"answered": 240.0, "unmatched": 0.0}
    truths[samples[7].id]["ground_truth"] = ["nothing", reply(samples[7])]
    answers = tmp_path / "answer_dict_test.json"
    answers.write_text(json.dumps(truths))
    truths[samples[7].id]["ground_truth"] = truths[samples[7].id]["ground_truth"][1]
    known = marked(task, list(task.samples(data_at())), reply)
    assert task.summarize(known)["mmmu_test"] == 100
    assert task.headline == "mmmu_test", "never under the name of the validation set"
    del truths[samples[9].id]
    answers.write_text(json.dumps(truths))
    with pytest.raises(UserError, match=f"{samples[9].id} has no answer, unlike others"):
        list(task.samples(data_at()))


def test_answers_in_the_tables_of_the_test_split_are_read(
    mini: Any, data_at: Any, tmp_path: Path, marked: Any
) -> None:
    task = registry.task("mmmu:test")
    list(of_test_split(tmp_path, mini, lambda row: row["answer"]))
    samples = list(task.samples(data_at()))
    rows = marked(task, samples, lambda s: s.target["answer"])
    assert task.summarize(rows)["mmmu_test"] == 100
