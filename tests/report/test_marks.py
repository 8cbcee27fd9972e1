"""The mark of a single sample: right, wrong, or how good it is, for benchmarks of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harmon_eval import cli, registry
from harmon_eval.report import gather
from harmon_eval.report.gather import Item, Outcome, TaskView
from harmon_eval.report.marks import grades_of
from harmon_eval.store.run_folder import RunFolder

TASKS = "pope,gqa,shape_edits,dsg,gedit,geneval2,imgedit"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The scripted model on benchmarks that mark in different ways."""
    folder = tmp_path_factory.mktemp("run")
    command = ["--model", "scripted", "--limit", "3", "--output", str(folder), "--tasks", TASKS]
    assert cli.main(command) in (0, 1)
    return RunFolder(folder)


def states(view: TaskView) -> list[str]:
    return [outcome.state for outcome in view.outcomes.values()]


def test_yes_or_no_is_right_where_it_is_the_label(run: RunFolder) -> None:
    """POPE's rows hold no column ``correct``: its headline is an F1."""
    view = gather.read_task(run, "pope")
    right = [row["label"] == row["parsed"] for row in view.rows.values()]
    assert states(view) == ["right" if each else "wrong" for each in right]
    assert {*states(view)} == {"right", "wrong"}


@pytest.mark.parametrize(("task", "column"), [("gqa", "llava"), ("shape_edits", "followed")])
def test_a_headline_that_is_a_share_of_samples_gives_the_verdict(
    run: RunFolder, task: str, column: str
) -> None:
    view = gather.read_task(run, task)
    right = [bool(row[column]) for row in view.rows.values()]
    assert states(view) == ["right" if each else "wrong" for each in right]


def test_a_checklist_is_right_where_every_point_is_met(run: RunFolder) -> None:
    view = gather.read_task(run, "dsg")
    for name, outcome in view.outcomes.items():
        points = json.loads(view.rows[name]["points"]).values()
        assert outcome.state == ("right" if all(points) else "wrong")
        assert outcome.met == (sum(points), len(points))
        assert outcome.grade == view.rows[name]["score"]


@pytest.mark.parametrize("task", ["gedit", "geneval2", "imgedit"])
def test_graded_samples_are_neither_right_nor_wrong_and_have_a_grade(
    run: RunFolder, task: str
) -> None:
    view = gather.read_task(run, task)
    assert {*states(view)} == {"marked"}
    assert all(0 <= (o.grade if o.grade is not None else -1) <= 1 for o in view.outcomes.values())


def test_grades_are_shares_of_the_most_and_of_what_the_headline_counts() -> None:
    graded = pd.DataFrame({"id": ["a", "b"], "unscored": None, "score": [10.0, 4.0]})
    assert grades_of(None, graded).values == {"a": 1.0, "b": 0.4}
    alike = pd.DataFrame({"id": ["a"], "unscored": None, "label": "yes", "parsed": "yes"})
    assert grades_of(None, alike).verdicts and grades_of(None, alike).values == {"a": 1.0}
    lost = pd.DataFrame({"id": ["a", "b"], "unscored": ["judge failed", None], "score": [0.0, 0.5]})
    assert grades_of(None, lost).values == {"b": 0.5}
    losses = pd.DataFrame({"id": ["a"], "unscored": None, "l1": [0.2]})
    assert not grades_of(registry.task("emu_edit"), losses, "clip_dir[mini]").values


def test_of_two_checklists_the_difference_of_the_scores_says_how_far_they_are_apart() -> None:
    one = Outcome("right", grade=1.0, points=(("a", True), ("b", True)))
    other = Outcome("wrong", grade=0.5, points=(("a", True), ("b", False)))
    assert Item("a", (one, other)).distance == 0.5 and Item("a", (one, other)).change == "better"


def test_cards_of_responses_without_marks_are_those_that_they_will_be(
    run: RunFolder, tmp_path: Path
) -> None:
    command = ["--model", "scripted", "--limit", "3", "--tasks", "dsg", "--predict-only"]
    assert cli.main([*command, "--output", str(tmp_path)]) in (0, 1)
    marked = gather.cards("dsg", gather.read_task(run, "dsg"))
    waiting = gather.cards("dsg", gather.read_task(RunFolder(tmp_path), "dsg"))
    assert [card.id for card in waiting] == [card.id for card in marked]
    assert {len(card.items) for card in waiting} == {4}, "four drawings of a prompt"
