"""DPG-Bench: the graph of questions; the published script's defects beside corrected figures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harmon_eval.core import Answer, Data, Responder, Sample, UserError
from harmon_eval.instruments.judge.rules import RuleJudge
from harmon_eval.instruments.judging import Judge
from harmon_eval.metrics.intervals import intervals
from harmon_eval.replies.yes_no import one_word
from harmon_eval.running.jobs import Job
from harmon_eval.running.results import assumed, score_bounds
from harmon_eval.suites.mini.scenes import Item, Scene, render
from harmon_eval.tasks.checklist.files import Point
from harmon_eval.tasks.dpg import task as dpg
from harmon_eval.tasks.dpg.files import broad, read_questions
from harmon_eval.tasks.dpg.mini import COLUMNS, make
from harmon_eval.tasks.dpg.rules import mark_image, published_score, score

CAT = [
    Point("1", "cat?", parents=(), kind="entity - whole"),
    Point("2", "hat?", parents=("1",), kind="entity - whole"),
    Point("4", "photo?", parents=(), kind="global"),
    Point("3", "red hat?", parents=("2", "4"), kind="attribute - color"),
]


def said(*no: Any) -> Any:
    return {q.id: int(q.id) not in no for q in CAT}


def rows_of(crops: Any, first: bool = False) -> Any:
    marked = [
        {**mark_image(CAT, crop, first), "judge": "j", "group": "cat", "last": i == 3}
        for i, crop in enumerate(crops)
    ]
    return pd.DataFrame(marked)


def test_the_worked_example_of_the_specification() -> None:
    found = dpg.summarize(rows_of([said(1), said(), said(), said()]))
    assert [score(CAT, crop) for crop in (said(1), said())] == [0.25, 1.0]
    assert found["dpg[j]"] == found["as_published[j]"] == 81.25


def test_published_categories_see_only_the_last_image() -> None:
    early = dpg.summarize(rows_of([said(1), said(), said(), said()]))
    late = dpg.summarize(rows_of([said(), said(), said(), said(1)]))
    assert early["as_published/entity"] == 100.0 and late["as_published/entity"] == 50.0
    assert early["entity"] == late["entity"] == 100 * 7 / 8
    assert early["attribute - color"] == 100.0, "raw, before dependencies"


def test_the_published_script_loses_its_first_row_and_with_it_an_item_that_depends_on_it() -> None:
    assert published_score(CAT, said(), first=True) is None
    assert published_score(CAT, said(), first=False) == 1.0
    free = [
        Point("1", "a?", parents=(), kind="entity"),
        Point("2", "b?", parents=(), kind="entity"),
    ]
    assert published_score(free, {"1": False, "2": True}, first=True) == 1.0
    assert published_score(free[:1], {"1": True}, first=True) is None
    gone = dpg.summarize(rows_of([said()] * 4, first=True))
    assert gone["dpg[j]"] == 100.0
    assert not [name for name in gone if name.startswith("as_published")]


def test_a_no_goes_down_the_graph_in_the_order_of_the_file() -> None:
    child_first = [
        Point("2", "b?", parents=("1",)),
        Point("1", "a?", parents=("3",)),
        Point("3", "c?"),
    ]
    assert score(child_first, {"1": True, "2": True, "3": False}) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("reply", "truth"),
    [
        ("yes", True),
        ("Yes.", True),
        (" no\n", False),
        ("NO", False),
        ("yes, a dog", None),
        ("", None),
        ("yesno", None),
        ("**Yes.**", True),
        ('```json\n{"answer": "no"}\n```', False),
        ("Answer: Yes", True),
        ("yes/no", None),
        ("Ｙｅｓ", True),
        ("not", None),
        ("no" * 10**6, None),
    ],
)
def test_an_answer_is_yes_or_no_or_none(reply: str, truth: bool | None) -> None:
    assert one_word(reply) is truth


def write(folder: Path, *rows: Any) -> Any:
    with (folder / "dpg_bench.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return folder / "dpg_bench.csv"


ROW = ["7", "text", "", "2", "1,4", "attribute", "color", "attribute - color (dog, red)", "Red?"]


def test_a_row_is_read_with_parents_and_categories(tmp_path: Path) -> None:
    numbers_only = [*ROW[:3], "3", "0", *ROW[5:]]
    found, first = read_questions(write(tmp_path, ROW, numbers_only))
    assert first == "7"
    assert found["7"][0] == Point("2", "Red?", parents=("1", "4"), kind="attribute - color")
    assert (broad(found["7"][0].kind), found["7"][1].parents) == ("attribute", ())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no questions"),
        ([[*ROW[:3], "x", *ROW[4:]]], "row 2: .*must be numbers"),
        ([ROW[:5]], "row 2: the column 'tuple' is missing"),
        ([ROW, ROW], "occurs twice"),
    ],
)
def test_a_flaw_in_the_file_is_named(tmp_path: Path, rows: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_questions(write(tmp_path, *rows))


@pytest.fixture
def mini(tmp_path: Path) -> Any:
    make(tmp_path)
    return Data.at(tmp_path, "mini")


def test_the_mini_files_make_four_drawings_a_prompt(mini: Any) -> None:
    found = list(dpg.samples(mini))
    assert len(found) == 240
    assert [s.id for s in found[:5]] == ["0/0000", "0/0001", "0/0002", "0/0003", "1/0000"]
    assert [s.target["last"] for s in found[:4]] == [False, False, False, True]
    assert found[0].target["first"] and not found[4].target["first"]


class Says(Responder):
    name = "says"

    def __init__(self, reply: Any) -> None:
        self.reply = reply

    def ask(self, requests: Any) -> Any:
        return [self.reply for _ in requests]


def test_yes_to_all_is_100_no_to_all_is_0_and_anything_else_is_unscored(
    mini: Any, tmp_path: Path
) -> None:
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / "a.png")
    answers = [Answer(sample, tmp_path / "a.png") for sample in list(dpg.samples(mini))[:8]]
    for reply, value in (("yes", 100.0), ("no", 0.0)):
        rows = pd.DataFrame(dpg.mark(answers, {"judge": Judge(Says(reply))}))
        rows = rows.assign(group=[a.sample.group for a in answers], stratum="", id="")
        assert dpg.summarize(rows)["dpg[says]"] == value
    low, high = intervals(dpg.TASK, rows, resamples=20)["dpg[says]"]
    assert low == 0 and 50 < high <= 100, "percent, exact for two prompts"
    unscored = dpg.mark(answers, {"judge": Judge(Says("maybe"))})
    assert all("does not parse" in row["unscored"] for row in unscored)
    lone = Answer(Sample("x", None, {"questions": []}, "x"), tmp_path / "a.png")
    (row,) = dpg.mark([lone], {"judge": Judge(Says("yes"))})
    assert row["unscored"] == "dpg_bench.csv has no questions for it"


def test_images_that_were_not_judged_bound_the_score(mini: Any, tmp_path: Path) -> None:
    """Eight images of two prompts, all yes but one unscored: at worst 7/8, at best 1."""
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / "a.png")
    samples = list(dpg.samples(mini))[:8]
    answers = [Answer(sample, tmp_path / "a.png") for sample in samples]
    marks = dpg.mark(answers, {"judge": Judge(Says("yes"))})
    marks[3] = {"unscored": "the judge failed"}
    rows = pd.DataFrame(
        {"id": s.id, "group": s.group, "stratum": "", "unscored": None, **mark}
        for s, mark in zip(samples, marks, strict=True)
    )
    job = Job("dpg", dpg.TASK, samples, samples, None)
    assert score_bounds(job, assumed(job, rows), rows[rows["unscored"].isna()]) == (87.5, 100.0)
    assert score_bounds(job, assumed(job, rows.assign(unscored="failed")), rows[:0]) == (0.0, 100.0)
    lone = Sample("x/0000", None, {"questions": [], "first": False, "last": True}, "x")
    job = Job("dpg", dpg.TASK, [*samples, lone], [*samples, lone], None)
    failed = pd.DataFrame([{"id": lone.id, "group": "x", "unscored": "no questions"}])
    scored = rows[rows["unscored"].isna()]
    low, high = score_bounds(job, assumed(job, pd.concat([scored, failed])), scored)
    assert (low, high) == pytest.approx((200 / 3, 100.0)), "a prompt of its own"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Is there a circle?", "yes"),
        ("Is there a star?", "no"),
        ("Is the circle red?", "yes"),
        ("Is the circle blue?", "no"),
        ("Is the circle left of the square?", "yes"),
        ("Is the circle above the square?", "no"),
        ("Are there two objects?", "yes"),
        ("Are there two circles?", "no"),
        ("Is the background grey?", "yes"),
        ("Is it art?", "That is beyond my rules."),
    ],
)
def test_the_mini_judge_answers_about_a_red_circle_left_of_a_blue_square(
    tmp_path: Path, question: str, answer: str
) -> None:
    from harmon_eval.core import Ask

    scene = Scene((Item("circle", "red", 16, 32, 9.5), Item("square", "blue", 48, 32, 9.5)))
    Image.fromarray(render(scene)).save(tmp_path / "a.png")
    assert RuleJudge().ask([Ask(question + dpg.FORM, (tmp_path / "a.png",))]) == [answer]
