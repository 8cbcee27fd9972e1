"""Checklists: asking, replies, dependency rules and totals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Answer, Data
from harmon_eval.instruments.judge.rules import open_instrument
from harmon_eval.suites.mini.scenes import Item as Thing
from harmon_eval.suites.mini.scenes import Scene, render
from harmon_eval.tasks.checklist import asking, replies, rules
from harmon_eval.tasks.checklist.files import Item, Point

TASKS = ("checklist", "dsg", "tiif", "unigenbench", "specv")


PLACES = {
    "left of": (16, 48, 48, 16),
    "right of": (48, 16, 16, 48),
    "above": (32, 14, 32, 50),
    "below": (32, 50, 32, 14),
    "and": (16, 32, 48, 32),
}


def drawn(prompt: str) -> np.ndarray:
    """What a prompt of the mini world asks for."""
    (c1, s1), (c2, s2) = re.findall(r"\ban? (\w+) (\w+)", prompt.removeprefix("a photo of "))
    between = next(name for name in PLACES if f" {name} a" in prompt)
    x1, y1, x2, y2 = PLACES[between]
    if between in ("left of", "right of"):
        y1 = y2 = 32
    return render(Scene((Thing(s1, c1, x1, y1, 9.5), Thing(s2, c2, x2, y2, 9.5))))


def score_of(name: str, folder: Path, picture: Any, judge: Any = None) -> dict[str, float]:
    """What the task makes of the picture of each prompt of its mini data."""
    task = registry.task(name)
    own = folder / re.sub(r"\W", "-", name)
    own.mkdir()
    task.sources["mini"].make(own)
    samples = list(task.samples(Data.at(own, "mini", images_per_prompt=1)))[:24]
    answers = []
    for number, sample in enumerate(samples):
        Image.fromarray(picture(sample.request.prompt)).save(own / f"{number}.png")
        answers.append(Answer(sample, own / f"{number}.png"))
    marks = task.mark(answers, {"judge": judge or open_instrument()})
    rows = pd.DataFrame(
        {**mark, "group": sample.group, "stratum": ""}
        for mark, sample in zip(marks, samples, strict=True)
    )
    if "unscored" in rows:
        assert rows["unscored"].isna().all(), rows["unscored"].iloc[0]
    return task.summarize(rows)


@pytest.mark.parametrize("name", TASKS)
def test_perfect_pictures_score_100_and_empty_ones_only_for_their_background(
    name: str, tmp_path: Path
) -> None:
    best = score_of(
        name,
        tmp_path,
        lambda prompt: drawn(
            f"a photo of {prompt}" if not prompt.startswith("a photo") else prompt
        ),
    )
    headline = f"{name}[shape-rules-1]"
    assert best[headline] == 100.0, best
    (tmp_path / "empty").mkdir()
    grey = np.full((64, 64, 3), 128, np.uint8)
    empty = score_of(name, tmp_path / "empty", lambda _: grey)
    assert empty[headline] <= 30.0 and empty.get("kind/object", 0.0) == 0.0
    if name == "unigenbench":
        assert best["as_published/Attribute"] == 100.0 and empty["as_published/Attribute"] == 0.0
    if name == "specv":
        assert best["as_published"] == 100.0


# Points of the specification's worked examples: parents by id, answers, and the four rules.
EXAMPLES = [
    ({"1": "", "2": "1", "3": "2"}, "no yes yes", (2 / 3, 1 / 3, 0.0, 0.0)),
    ({"1": "", "2": "1", "3": "2"}, "yes yes no", (2 / 3, 2 / 3, 2 / 3, 2 / 3)),
    ({"1": "2", "2": "3", "3": ""}, "yes yes no", (2 / 3, 1 / 3, 1 / 3, 0.0)),
    ({"1": "", "2": "", "3": "1,2", "4": ""}, "yes no yes yes", (0.75, 0.5, 0.5, 0.5)),
    ({"1": "", "2": "1", "3": "2,4", "4": ""}, "no yes yes yes", (0.75, 0.5, 0.25, 0.25)),
]


def points_of(parents: dict[str, str]) -> list[Point]:
    return [
        Point(name, "?", parents=tuple(filter(None, own.split(","))))
        for name, own in parents.items()
    ]


@pytest.mark.parametrize(("parents", "answers", "expected"), EXAMPLES)
def test_the_four_dependency_rules_on_the_worked_examples(
    parents: dict[str, str], answers: str, expected: tuple[float, ...]
) -> None:
    points = points_of(parents)
    right = dict(zip(parents, (a == "yes" for a in answers.split()), strict=True))
    found = [rules.score(points, rule(points, right)) for rule in rules.DEPENDENCY.values()]
    assert found == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 7))), min_size=1, max_size=8))
def test_a_stricter_rule_never_counts_more(graph: list[tuple[bool, set[int]]]) -> None:
    """none >= direct >= transitive; in file order a rule is no stricter than all ancestors."""
    points = [
        Point(str(i), "?", parents=tuple(str(p) for p in own if p < i))
        for i, (_, own) in enumerate(graph)
    ]
    right = {str(i): said for i, (said, _) in enumerate(graph)}
    none, direct, in_order, transitive = (
        rules.score(points, rule(points, right)) for rule in rules.DEPENDENCY.values()
    )
    assert none >= direct >= transitive and in_order == transitive, "parents come first here"


def test_ways_to_add_up_an_item() -> None:
    points = [Point("1", "?", weight=2.0), Point("2", "?"), Point("3", "?")]
    two = {"1": True, "2": True, "3": False}
    found = {name: rules.score(points, two, name) for name in rules.ITEM}
    assert found == pytest.approx(
        {"mean": 2 / 3, "weighted": 0.75, "product": 0.0, "geometric": 0.0, "all": 0.0}
    )
    assert all(rules.score(points, dict.fromkeys("123", True), name) == 1 for name in rules.ITEM)


def test_points_by_kind_count_each_point_once_although_a_kind_is_the_start_of_another() -> None:
    points = [Point("1", "?", kind="a"), Point("2", "?", kind="a/b"), Point("3", "?", kind="a/b")]
    row = {"group": "x", "score": 0.0, **rules.sums(points, {"1": True, "2": False, "3": False})}
    protocol = rules.Protocol(total=(rules.Step("points", ("kind",)),))
    assert rules.totals(pd.DataFrame([row]), protocol) == {("a",): 1.0, ("a/b",): 0.0}
    assert rules.share(pd.DataFrame([row]), "a") == pytest.approx(1 / 3), "all below it"


def test_shares_of_the_total_add_up_to_it_by_hand() -> None:
    """Two attributes: 1 of 1 and 2 of 2 points of one, 0 of 4 of the other; the mean is 50 %."""
    rows = pd.DataFrame(
        {
            **{"group": item, "judge": "j", "stratum": kind, "score": right / points},
            **{f"{rules.BY}attribute": kind, rules.RIGHT: float(right), rules.OF: float(points)},
        }
        for item, kind, right, points in (("x", "a", 1, 1), ("y", "a", 2, 2), ("z", "b", 0, 4))
    )
    protocol = rules.Protocol(
        total=(rules.Step("points", ("attribute",)), rules.Step("below")),
    )
    found = rules.counted(rows, protocol)
    assert found["weight"].tolist() == pytest.approx([1 / 6, 2 / 6, 1 / 2])
    assert found["mark"].tolist() == pytest.approx([1 / 6, 2 / 6, 0])
    assert rules.totals(rows, protocol) == {(): pytest.approx(0.5)}


def test_both_wordings_of_an_instruction_of_tiif_are_one_group(tmp_path: Path) -> None:
    tiif = registry.task("tiif")
    source = tiif.sources["mini"]
    assert source.make is not None
    source.make(tmp_path)
    found = list(tiif.samples(Data.at(tmp_path, "mini")))
    own = {sample.group: [s.id for s in found if s.group == sample.group] for sample in found}
    assert len(own) == 24 and all(len(ids) == 2 for ids in own.values())
    assert all(s.stratum == s.target["item"]["group"]["attribute"] for s in found)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("yes\nno", (True, False)),
        ("1. Yes, it is.\n2. **No**", (True, False)),
        ("- yes\n\n- no", (True, False)),
        ("yes", None),
        ("yes\nno\nyes", None),
        ("yes\nmaybe", None),
        ("yesterday\nno", None),
        ("Sure:\nyes\nno", None),
        ("", None),
        ("ｙｅｓ\nno", (True, False)),
        ("yes\n" * 10**5, None),
    ],
)
def test_lines_are_yes_or_no_and_as_many_as_points(reply: str, said: Any) -> None:
    read = replies.lines([Point("1", "?"), Point("2", "?")])(reply)
    assert (None if read is None else tuple(read.values())) == said


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("<score>[1, 0]</score>", (True, False)),
        ("[1, 0]", (True, False)),
        ("<score>[0,0]</score> then <score>[1,0]</score>", (True, False)),
        ("```json\n[1, 0]\n```", (True, False)),
        ("<score>[1]</score>", None),
        ("[true, false]", None),
        ("[1, 2]", None),
        ('["1", "0"]', None),
        ("[0.5, 1]", None),
        ("</score>[1, 0]", None),
        ("[" * 10**6, None),
    ],
)
def test_a_list_holds_nothing_but_0_and_1(reply: str, said: Any) -> None:
    read = replies.listed([Point("1", "?"), Point("2", "?")])(reply)
    assert (None if read is None else tuple(read.values())) == said


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('[{"id": 1, "answer": "Yes"}, {"id": 2, "answer": "no."}]', (True, True)),
        (
            'Here:\n```json\n[{"id": "2", "answer": "No"}, {"id": "1", "answer": "No"}]\n```',
            (False, True),
        ),
        ('[{"id": 1, "answer": "Yes"}]', None),
        ('[{"id": 1, "answer": "Yes"}, {"id": 1, "answer": "Yes"}]', None),
        ('[{"id": 1, "answer": "Yes"}, {"id": 2, "answer": "perhaps"}]', None),
        ('{"1": "yes", "2": "no"}', None),
        ("[" * 10**6, None),
    ],
)
def test_json_holds_each_point_once_and_what_is_expected_is_right(reply: str, said: Any) -> None:
    read = replies.objects([Point("1", "?"), Point("2", "?", expect="no")])(reply)
    assert (None if read is None else tuple(read.values())) == said


def test_a_point_may_expect_a_word() -> None:
    three = replies.word(Point("1", "How many dogs?", expect="three", forms=("3",)))
    assert [three(r) for r in ("three", "3", "Three.", "two", "13", "")] == [
        True,
        True,
        True,
        False,
        False,
        None,
    ]


def test_what_a_point_expects_is_never_shown_to_the_judge() -> None:
    item = Item("a", (Point("1", "Is there a dog?", expect="no"),), "no dog", note="a puzzle")
    for protocol in (
        rules.Protocol(),
        rules.Protocol("together", "json"),
        rules.Protocol("together", "lines"),
    ):
        (ask,) = asking.asks(item, protocol, None, {})
        assert "Is there a dog?" in ask.question and "puzzle" not in ask.question
    own = {"ask.txt": "{prompt}|{points}|{note}|{other}", "system.txt": "Be strict."}
    (ask,) = asking.asks(item, rules.Protocol("together", "lines"), None, own)
    assert ask.question == "no dog|1. Is there a dog?|a puzzle|{other}"
    assert ask.system == "Be strict."
