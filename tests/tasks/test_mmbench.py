"""MMBench: rotations, references to images, circular marks, and the file for the server."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.tasks.mmbench.submission import excel
from harmon_eval.tasks.mmbench.task import TASK, summarize

COLUMNS = "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\tl2-category\timage"


def picture() -> Any:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


def table(folder: Path, rows: Any, name: str = "MMBench_DEV_EN.tsv") -> None:
    (folder / name).write_text("\n".join([COLUMNS, *map("\t".join, rows)]) + "\n")


def three(answers: str = "BAC", image: Any = None) -> Any:
    """Group 7 with options A to C, as in mmbench.md, E2 and E4."""
    images = (image or picture(), "7", "7")
    return [
        [
            str(7 + turn * 1_000_000),
            '"What is\nit?"',
            "",
            "cat",
            "dog",
            "owl",
            "nan",
            answer,
            "c",
            "l",
            images[turn],
        ]
        for turn, answer in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("replies", "circular", "vanilla_all", "vanilla_0", "unmatched"),
    [("BAC", 100, 100, 100, 0), ("BAB", 0, 200 / 3, 100, 0), ("B?C", 0, 200 / 3, 100, 1)],
)
def test_a_question_counts_if_all_rotations_are_right(
    data_at: Any,
    tmp_path: Path,
    marked: Any,
    replies: str,
    circular: int,
    vanilla_all: int,
    vanilla_0: int,
    unmatched: int,
) -> None:  # E2
    table(tmp_path, three())
    samples = list(TASK.samples(data_at()))
    given = dict(zip([s.id for s in samples], replies, strict=True))
    found = summarize(marked(TASK, samples, lambda s: given[s.id]))
    values = [found[k] for k in ("circular", "vanilla_all", "vanilla_0", "unmatched")]
    assert values == pytest.approx([circular, vanilla_all, vanilla_0, unmatched])


def test_a_missing_rotation_leaves_the_question_unmarked(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    table(tmp_path, three()[:2])
    samples = list(TASK.samples(data_at()))
    found = summarize(marked(TASK, samples, lambda s: s.target["answer"]))
    assert found["circular"] != found["circular"]  # not a number
    assert (found["vanilla_all"], found["incomplete_questions"]) == (100, 1)


def test_groups_are_averaged_not_rows() -> None:  # E3
    rows = []
    for group, (options, right) in enumerate([(2, 2), (3, 2), (4, 4)]):
        for turn in range(options):
            rows.append(
                {
                    "group": str(group),
                    "options": options,
                    "answer": "A",
                    "unmatched": False,
                    "correct": turn < right,
                    "lmms-eval": False,
                    "whole-letter": False,
                    "base": turn == 0,
                    "l2-category": "l",
                    "category": "c",
                }
            )
    found = summarize(pd.DataFrame(rows))
    assert found["circular"] == pytest.approx(66.6667, abs=1e-4)
    assert found["vanilla_all"] == pytest.approx(88.8889, abs=1e-4)


def test_a_random_letter_is_an_expectation_never_drawn(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    table(tmp_path, three())
    samples = list(TASK.samples(data_at()))
    found = summarize(marked(TASK, samples, lambda s: "no idea"))
    assert found["vanilla_all[random-letter]"] == pytest.approx(25)  # three letters and Z
    assert found["circular[random-letter]"] == pytest.approx(100 / 64)
    assert found["circular"] == 0


def test_rows_share_the_image_that_one_of_them_holds(data_at: Any, tmp_path: Path) -> None:  # E4
    table(tmp_path, three())
    samples = list(TASK.samples(data_at()))
    assert len({s.request.images for s in samples}) == 1
    assert samples[0].target["options"] == {"A": "cat", "B": "dog", "C": "owl"}
    assert samples[0].request.question == (
        "What is\nit?\nA. cat\nB. dog\nC. owl\n"
        "Answer with the option's letter from the given choices directly."
    )
    table(tmp_path, three(image="8"))
    with pytest.raises(UserError, match="row 7 refers to row 8, which has no image"):
        list(TASK.samples(data_at()))


def test_prompts_of_the_toolkits(data_at: Any, tmp_path: Path) -> None:
    row = three()[0]
    row[2] = "Look."
    table(tmp_path, [row])
    for name, start in (
        ("llava", "Look.\nWhat is\nit?\nA. cat"),
        ("vlmevalkit", "Hint: Look.\nQuestion: What is\nit?\nOptions:\nA. cat"),
        ("janus", "\nHint: Look.\nWhat is\nit?\nA. cat"),
        ("lmms-eval", "Look. What is\nit? There are several options:\nA. cat"),
    ):
        task = registry.task(f"mmbench:{name}")
        assert next(iter(task.samples(data_at()))).request.question.startswith(start)


def test_a_test_set_has_no_score_but_the_file_for_the_server(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    table(tmp_path, [[*row[:7], "", *row[8:]] for row in three()], "MMBench_TEST_EN.tsv")
    task = registry.task("mmbench:test_en")
    samples = list(task.samples(data_at()))
    rows = marked(task, samples, lambda s: "=B\x07")
    assert task.summarize(rows) == {"answered": 3, "unmatched": 3}
    files = task.files_after(samples, rows)
    sheet = openpyxl.load_workbook(io.BytesIO(files["submission.xlsx"])).active
    head, *lines = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert "image" not in head and head[0] == "index" and head[-1] == "prediction"
    assert [line[0] for line in lines] == [7, 1_000_007, 2_000_007]
    assert lines[0][-1] == "=B " and sheet.cell(2, len(head)).data_type == "s"  # no formula
    assert TASK.files_after is None  # a set with answers is marked here


def test_a_cell_never_exceeds_what_excel_holds() -> None:
    book = openpyxl.load_workbook(io.BytesIO(excel([{"index": "1", "prediction": "x" * 40_000}])))
    assert len(book.active.cell(2, 2).value) == 32_767


def test_the_mini_rotations_are_cyclic(mini: Any) -> None:
    for sample in TASK.samples(mini.data("mmbench", TASK)):
        base = int(sample.id) % 1_000_000
        assert sample.group == str(base)
        assert sample.target["answer"] in sample.target["options"]


def test_the_letter_of_a_word_is_one_to_vlmevalkit_and_none_to_our_rule(
    data_at: Any, tmp_path: Path, marked: Any
) -> None:
    table(tmp_path, three())
    samples = list(TASK.samples(data_at()))
    words = {"A": "ancient", "B": "blue", "C": "cold"}
    found = summarize(marked(TASK, samples, lambda s: f"The answer is {words[s.target['answer']]}"))
    assert found["circular"] == found["vanilla_all"] == 100
    assert found["circular[whole-letter]"] == found["vanilla_all[whole-letter]"] == 0


def test_text_that_xml_cannot_hold_does_not_spoil_the_file_for_the_server() -> None:
    book = openpyxl.load_workbook(
        io.BytesIO(excel([{"index": "1", "prediction": "a\rb\r\nc\x00d\ud800e\uffff"}]))
    )
    assert book.active["B2"].value == "a\nb\nc d e "
