"""MME: the release folder, pairs by image, and sums."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.tasks.mme.files import SUBTASKS, evaluation_line, subtask_scores, sums
from harmon_eval.tasks.mme.task import TASK, answer_files, phrased, summarize


def of(pairs: Any, images: Any = None) -> tuple[Any, ...]:
    """Score of one subtask from (first right, second right) of each image."""
    marks = np.array(pairs, dtype=float).ravel()
    images = np.repeat(np.arange(len(pairs)), 2) if images is None else np.array(images)
    accuracy, both = subtask_scores(np.full(len(marks), "count"), images, marks)["count"]
    return accuracy, both


def test_one_subtask_of_four_images() -> None:  # mme.md, E2
    assert of([(1, 1), (1, 0), (0, 1), (0, 0)]) == (50, 25)


def test_one_wrong_line_of_sixty_costs_five_points() -> None:  # mme.md, E3
    assert sum(of([(1, 1)] * 29 + [(1, 0)])) == pytest.approx(195)


def test_pairs_are_formed_by_image_and_not_by_position() -> None:  # mme.md, E7
    accuracy, both = of([(1, 0), (1, 0)], images=[0, 1, 0, 1])  # a-Yes, b-Yes, a-No, b-No
    assert accuracy + both == 100


def test_the_sums_need_every_subtask() -> None:
    whole = dict.fromkeys(SUBTASKS, (100.0, 100.0))
    assert sums(whole) == {"perception": 2000, "cognition": 800}
    del whole["OCR"]
    assert math.isnan(sums(whole)["perception"]) and sums(whole)["cognition"] == 800


def test_half_a_pair_leaves_its_subtask_without_a_score(mini: Any, marked: Any) -> None:
    samples = list(TASK.samples(mini.data("mme", TASK)))
    rows = marked(TASK, samples, lambda s: s.target["truth"]).iloc[1:]
    found = summarize(rows)
    assert math.isnan(found["existence"]) and math.isnan(found["perception"])
    assert found["cognition"] == 800


def test_neither_yes_nor_no_is_wrong_and_counted(mini: Any, marked: Any) -> None:  # mme.md, E6
    found = summarize(marked(TASK, list(TASK.samples(mini.data("mme", TASK))), lambda s: "unclear"))
    assert (found["perception"], found["cognition"], found["other"]) == (0, 0, 280)


def test_both_layouts_of_the_release_are_read(mini: Any) -> None:
    samples = list(TASK.samples(mini.data("mme", TASK)))
    assert list(dict.fromkeys(s.stratum for s in samples)) == list(SUBTASKS)
    folder = mini.data("mme", TASK).folder
    assert (folder / "scene" / "questions_answers_YN").is_dir()
    assert not (folder / "OCR" / "images").exists()
    for first, second in zip(samples[::2], samples[1::2], strict=True):
        assert first.group == second.group and first.request.images == second.request.images
        assert (first.target["truth"], second.target["truth"]) == ("Yes", "No")


def test_the_official_suite_refuses_another_number_of_images(mini: Any, data_at: Any) -> None:
    with pytest.raises(UserError, match="existence has 10 images, not 30"):
        list(TASK.samples(data_at(mini.data("mme", TASK).folder, "official")))


def test_a_file_without_its_pair_is_named(tmp_path: Path, data_at: Any) -> None:
    (tmp_path / "existence").mkdir()
    (tmp_path / "existence" / "1.txt").write_text("Is it?\tYes\n")
    (tmp_path / "existence" / "1.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1\.txt: needs two lines"):
        list(TASK.samples(data_at()))


def test_the_prompt_moves_the_score_and_has_a_name() -> None:
    question, short = (
        "Is it? Please answer yes or no.",
        ("\nAnswer the question using a single word or phrase."),
    )
    assert phrased(question, "short") == "Is it?" + short
    assert phrased(question, "official") == question
    assert phrased(question, "both") == question + short
    assert phrased(question, "janus") == "\n" + question + short
    assert registry.task("mme:both").version == "2, prompt both"


def test_the_evaluation_files_are_those_of_the_official_tool(mini: Any, marked: Any) -> None:
    samples = list(TASK.samples(mini.data("mme", TASK)))
    rows = marked(TASK, samples, lambda s: "no\tdoubt\nat all")
    files = answer_files(samples, rows.iloc[1:])
    assert "Your_Results/existence.txt" not in files  # not answered completely
    line = files["Your_Results/OCR.txt"].splitlines()[0].split("\t")
    assert line[0] == "0000.png" and line[2:] == ["Yes", "no doubt"]


@pytest.mark.parametrize("reply", ["No\rYes", "no\r\nYes", "no\n\rYes", "\rno\tdoubt\r"])
def test_a_carriage_return_is_a_line_break_in_the_files_too(
    mini: Any, marked: Any, tmp_path: Path, reply: str
) -> None:
    samples = list(TASK.samples(mini.data("mme", TASK)))
    rows = marked(TASK, samples, lambda s: reply)
    assert set(rows["parsed"]) == {"no"}
    for name, text in answer_files(samples, rows).items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, newline="")
        with file.open() as opened:  # as the official tool does, with any line break
            lines = opened.readlines()
        assert len(lines) == sum(s.stratum == file.stem for s in samples)
        assert {len(line.split("\t")) for line in lines} == {4}


@given(st.text(), st.text(), st.text())
def test_no_text_breaks_a_line_of_the_files(image: Any, question: Any, reply: Any) -> None:
    line = evaluation_line(image, question, "Yes", reply)
    assert len(line.split("\t")) == 4 and len(re.split(r"[\r\n]", line)) == 2
