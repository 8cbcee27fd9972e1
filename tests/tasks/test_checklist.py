"""Checklists: the format and its flaws, asking, replies, dependency rules and totals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harmon_eval import cli, registry
from harmon_eval.core import Answer, Data, Responder, UserError
from harmon_eval.instruments.judge.rules import open_instrument
from harmon_eval.instruments.judging import Judge
from harmon_eval.replies.probabilities import First
from harmon_eval.suites.mini.scenes import Item as Thing
from harmon_eval.suites.mini.scenes import Scene, render
from harmon_eval.tasks.checklist import asking, replies, rules
from harmon_eval.tasks.checklist.files import Item, Point, check_items, read_items
from harmon_eval.tasks.checklist.mini import items
from harmon_eval.tasks.checklist.task import load

TASKS = ("checklist", "dsg", "tiif", "unigenbench", "specv")

PLACES = {"left of": (16, 48, 48, 16), "right of": (48, 16, 16, 48), "above": (32, 14, 32, 50),
          "below": (32, 50, 32, 14), "and": (16, 32, 48, 32)}  # fmt: skip


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
    best = score_of(name, tmp_path, lambda prompt: drawn(f"a photo of {prompt}"
                    if not prompt.startswith("a photo") else prompt))  # fmt: skip
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
    points = [Point(str(i), "?", parents=tuple(str(p) for p in own if p < i))
              for i, (_, own) in enumerate(graph)]  # fmt: skip
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
    [("yes\nno", (True, False)), ("1. Yes, it is.\n2. **No**", (True, False)),
     ("- yes\n\n- no", (True, False)), ("yes", None), ("yes\nno\nyes", None),
     ("yes\nmaybe", None), ("yesterday\nno", None), ("Sure:\nyes\nno", None), ("", None),
     ("ｙｅｓ\nno", (True, False)), ("yes\n" * 10**5, None)],
)  # fmt: skip
def test_lines_are_yes_or_no_and_as_many_as_points(reply: str, said: Any) -> None:
    read = replies.lines([Point("1", "?"), Point("2", "?")])(reply)
    assert (None if read is None else tuple(read.values())) == said


@pytest.mark.parametrize(
    ("reply", "said"),
    [("<score>[1, 0]</score>", (True, False)), ("[1, 0]", (True, False)),
     ("<score>[0,0]</score> then <score>[1,0]</score>", (True, False)),
     ("```json\n[1, 0]\n```", (True, False)), ("<score>[1]</score>", None),
     ("[true, false]", None), ("[1, 2]", None), ('["1", "0"]', None), ("[0.5, 1]", None),
     ("</score>[1, 0]", None), ("[" * 10**6, None)],
)  # fmt: skip
def test_a_list_holds_nothing_but_0_and_1(reply: str, said: Any) -> None:
    read = replies.listed([Point("1", "?"), Point("2", "?")])(reply)
    assert (None if read is None else tuple(read.values())) == said


@pytest.mark.parametrize(
    ("reply", "said"),
    [('[{"id": 1, "answer": "Yes"}, {"id": 2, "answer": "no."}]', (True, True)),
     ('Here:\n```json\n[{"id": "2", "answer": "No"}, {"id": "1", "answer": "No"}]\n```',
      (False, True)), ('[{"id": 1, "answer": "Yes"}]', None),
     ('[{"id": 1, "answer": "Yes"}, {"id": 1, "answer": "Yes"}]', None),
     ('[{"id": 1, "answer": "Yes"}, {"id": 2, "answer": "perhaps"}]', None),
     ('{"1": "yes", "2": "no"}', None), ("[" * 10**6, None)],
)  # fmt: skip
def test_json_holds_each_point_once_and_what_is_expected_is_right(reply: str, said: Any) -> None:
    read = replies.objects([Point("1", "?"), Point("2", "?", expect="no")])(reply)
    assert (None if read is None else tuple(read.values())) == said


def test_a_point_may_expect_a_word() -> None:
    three = replies.word(Point("1", "How many dogs?", expect="three", forms=("3",)))
    assert [three(r) for r in ("three", "3", "Three.", "two", "13", "")] == [
        True, True, True, False, False, None]  # fmt: skip


def test_what_a_point_expects_is_never_shown_to_the_judge() -> None:
    item = Item("a", (Point("1", "Is there a dog?", expect="no"),), "no dog", note="a puzzle")
    for protocol in (rules.Protocol(), rules.Protocol("together", "json"),
                     rules.Protocol("together", "lines")):  # fmt: skip
        (ask,) = asking.asks(item, protocol, None, {})
        assert "Is there a dog?" in ask.question and "puzzle" not in ask.question
    own = {"ask.txt": "{prompt}|{points}|{note}|{other}", "system.txt": "Be strict."}
    (ask,) = asking.asks(item, rules.Protocol("together", "lines"), None, own)
    assert ask.question == "no dog|1. Is there a dog?|a puzzle|{other}"
    assert ask.system == "Be strict."


def written(folder: Path, *lines: Any) -> Path:
    file = folder / "checklist.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


ONE = {"id": "a", "prompt": "p", "points": [{"id": 1, "text": "Is there a dog?"}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [({"points": []}, "has no points"), ({"id": "../a"}, "an id may hold"), ({"id": ""}, "'id'"),
     ({"point": []}, "'point' is not known: did you mean 'points'"),
     ({"points": [{"id": 1, "text": "?", "parent": []}]}, "did you mean 'parents'"),
     ({"points": [{"id": 1, "text": "?", "parents": [2]}]}, "point 1: there is no point 2"),
     ({"points": [{"id": 1, "text": "?", "parents": [1]}]}, "depends on itself"),
     ({"points": [{"id": 1, "text": "?", "parents": [2]}, {"id": 2, "text": "?", "parents": [1]}]},
      "depends on itself"),
     ({"points": [{"id": 1, "text": "?"}, {"id": 1, "text": "?"}]}, "point 1 occurs twice"),
     ({"points": [{"id": 1, "text": "?", "weight": 0}]}, "must be a number above 0"),
     ({"points": [{"id": 1, "text": "?", "weight": True}]}, "must be a number above 0"),
     ({"points": [{"id": 1, "text": ""}]}, "needs an 'id' and a 'text'"),
     ({"points": ["?"]}, "list of objects"), ({"group": "short"}, "must be an object"),
     ({"images": 0}, "from 1 to 1000"), ({"images": 10**9}, "from 1 to 1000"),
     ({"group": {"length": ["x"]}}, "the group 'length' must be a text"),
     ({"points": [{"id": 1, "text": "?", "expect": "no", "forms": ["nope"]}]}, "'forms' are for"),
     ({"prompt": 3}, "'prompt' must be a text")],
)  # fmt: skip
def test_a_flaw_in_a_checklist_is_named(tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        read_items(written(tmp_path, {**ONE, **change}))


def test_items_that_occur_twice_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'a' occurs twice"):
        read_items(written(tmp_path, ONE, ONE))
    with pytest.raises(UserError, match="no items"):
        read_items(written(tmp_path))
    long = [Point(str(i), "?", parents=(str(i + 1),) if i < 5_000 else ()) for i in range(5_001)]
    check_items([Item("deep", tuple(long))], "here")  # a chain of 5,000 is no recursion


@pytest.mark.parametrize(
    ("toml", "words"),
    [('aks = "each"', "did you mean 'ask'"), ('ask = "all"', "ask must be one of"),
     ('reply = "lines"', 'goes with reply = "word"'), ("total = []", "has no steps"),
     ('total = [{ mean = "below" }]', "points or items"), ("ask = ", "is no TOML"),
     ('total = [{ mean = "items", by = ["length"] }]', "its group lacks 'length'"),
     ("[families.f]\nof = 3", "a family is"), ('families = "f"', "a family is")],
)  # fmt: skip
def test_a_flaw_in_the_protocol_is_named(tmp_path: Path, toml: str, words: str) -> None:
    file = written(tmp_path, ONE)
    (tmp_path / "checklist.toml").write_text(toml)
    with pytest.raises(UserError, match=re.escape(words)):
        load(file)


class Says(Responder):
    """A judge that gives the same reply to all."""

    name = "says"

    def __init__(self, reply: str) -> None:
        self.reply = reply

    def ask(self, requests: Any) -> Any:
        return [self.reply for _ in requests]


@pytest.mark.parametrize("name", TASKS)
def test_an_image_with_an_unreadable_reply_is_unscored_and_bounded(
    name: str, tmp_path: Path
) -> None:
    task = registry.task(name)
    task.sources["mini"].make(tmp_path)
    sample = next(iter(task.samples(Data.at(tmp_path, "mini"))))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (row,) = task.mark([Answer(sample, tmp_path / "a.png")], {"judge": Judge(Says("I cannot say"))})
    assert "does not parse" in row["unscored"] and set(row) == {"unscored"}
    low, high = task.bounds(sample)
    assert (low["score"], high["score"]) == (0.0, 1.0)


def test_dsg_drops_the_dependencies_of_an_item_where_one_cannot_be_read(tmp_path: Path) -> None:
    from harmon_eval.tasks.dsg import task as dsg

    head = "item_id,text,proposition_id,dependency,tuple,question_natural_language\n"
    rows = ("vrd1,t,1,0,entity - whole (a),A?\nvrd1,t,2,1,attribute - color (a),B?\n"
            "vrd2,t,1,0,entity - whole (a),A?\nvrd2,t,2,1 3,global (a),B?\n")  # fmt: skip
    (tmp_path / dsg.FILE).write_text(head + rows)
    first, second = dsg.load(Data.at(tmp_path)).items
    assert [p.parents for p in first.points] == [(), ("1",)]
    assert [p.parents for p in second.points] == [(), ()]
    assert [p.kind for p in first.points] == ["entity/whole", "attribute/color"]
    assert first.group == {"source": "vrd"}


def test_a_table_becomes_a_checklist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, target = tmp_path / "points.csv", tmp_path / "checklist.jsonl"
    table.write_text(
        "id,prompt,point,parents,weight,kind,group:length\n"
        "dog,a red dog,Is there a dog?,,,entity,short\n"
        "dog,a red dog,Is the dog red?,1,2,attribute/color,short\n"
    )
    command = ["convert", "checklist", str(table), str(target)]
    assert cli.main(command) == 0
    assert "1 item, 2 points" in capsys.readouterr().out
    (item,) = read_items(target)
    assert item.points[1] == Point("2", "Is the dog red?", parents=("1",), weight=2.0,
                                   kind="attribute/color")  # fmt: skip
    assert cli.main(command) == 2 and "exists" in capsys.readouterr().err
    table.write_text("id,point,wieght\ndog,Is there a dog?,2\n")
    assert cli.main([*command[:-1], str(tmp_path / "b.jsonl")]) == 2
    assert "did you mean 'weight'" in capsys.readouterr().err


def test_a_written_item_is_read_back_the_same(tmp_path: Path) -> None:
    from harmon_eval.tasks.checklist.files import line

    file = tmp_path / "checklist.jsonl"
    file.write_text("".join(line(item) + "\n" for item in items()))
    assert read_items(file) == items()


class Likely(Responder):
    """First tokens and their probabilities by question; only ``seen`` of each distribution."""

    name, fingerprint = "likely", "1"

    def __init__(self, tops: dict[str, dict[str, float]]) -> None:
        self.tops = tops

    def score(self, requests: Any) -> Any:
        found = []
        for request in requests:
            top = self.tops[request.question]
            masses = [sum(top.get(form, 0.0) for form in forms) for forms in request.options]
            best = max(top, key=lambda token: top[token])
            found.append(First(tuple(masses), min(1.0, sum(top.values())), best).written())
        return found


THREE = {"three": 0.3, "Three": 0.2, " three": 0.05, " Three": 0.05, "3": 0.25, "2": 0.1,
         "dog": 0.05}  # fmt: skip
PARTLY = {"Yes": 0.40, "yes": 0.05, "No": 0.30}  # of which 0.25 was not seen


@pytest.mark.parametrize(("rule", "score"), [("mean", 0.7125), ("geometric", 0.633933)])
def test_an_item_of_geneval_2_by_probability_has_its_numbers(
    rule: str, score: float, tmp_path: Path
) -> None:
    """The specification's worked example: 0.85 for three, and yes 0.8, 0.95 and 0.25."""
    points = [{"id": 1, "text": "How many dogs?", "expect": "three", "forms": ["3"]}]
    points += [{"id": n, "text": f"Is it {n}?", "kind": "object"} for n in (2, 3, 4)]
    (tmp_path / "checklist.jsonl").write_text(
        json.dumps({"id": "a", "prompt": "three dogs", "images": 1, "points": points})
    )
    (tmp_path / "checklist.toml").write_text(f'reply = "probability"\nitem = "{rule}"\n')
    (tmp_path / "ask.txt").write_text("{point} Answer in one word.")
    tops = {f"Is it {n}? Answer in one word.": {"Yes": p, "No": 1 - p}
            for n, p in ((2, 0.8), (3, 0.95), (4, 0.25))}  # fmt: skip
    tops["How many dogs? Answer in one word."] = THREE
    row, found = by_probability(tmp_path, tops)
    assert row["score"] == pytest.approx(score, abs=1e-6)
    assert found["checklist[likely]"] == pytest.approx(100 * score, abs=1e-4)
    assert found["kind/object"] == pytest.approx(100 * 2 / 3)
    assert "most:score" not in row


def test_where_a_part_was_seen_the_score_has_an_upper_end(tmp_path: Path) -> None:
    points = [{"id": 1, "text": "Is it?"}, {"id": 2, "text": "Or is it?", "expect": "no"}]
    (tmp_path / "checklist.jsonl").write_text(
        json.dumps({"id": "a", "prompt": "p", "images": 1, "points": points})
    )
    (tmp_path / "checklist.toml").write_text('reply = "probability"\nitem = "product"\n')
    asked = "{} Please answer yes or no."
    tops = {asked.format("Is it?"): PARTLY, asked.format("Or is it?"): {"No": 0.5, "Yes": 0.5}}
    row, found = by_probability(tmp_path, tops)
    assert (row["score"], row["most:score"]) == pytest.approx((0.45 * 0.5, 0.70 * 0.5))
    assert found["checklist[likely]"] == pytest.approx(22.5)


def by_probability(folder: Path, tops: Any) -> tuple[dict[str, Any], dict[str, float]]:
    task = registry.task(f"checklist:{folder / 'checklist.jsonl'}")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    answers = [Answer(s, folder / "a.png") for s in task.samples(Data.at(folder))]
    (row,) = task.mark(answers, {"judge": Judge(Likely(tops))})
    rows = pd.DataFrame([{**row, "group": answers[0].sample.group, "stratum": ""}])
    return dict(row), task.summarize(rows)


def test_probabilities_have_no_dependencies(tmp_path: Path) -> None:
    (tmp_path / "checklist.jsonl").write_text(
        json.dumps({"id": "a", "points": [{"id": 1, "text": "?"}]})
    )
    (tmp_path / "checklist.toml").write_text('reply = "probability"\ndependency = "direct"\n')
    with pytest.raises(UserError, match='goes with dependency = "none"'):
        load(tmp_path / "checklist.jsonl")


@pytest.mark.parametrize("name", ["tiif", "unigenbench:en", "specv"])
def test_points_in_another_order_get_the_same_answers_from_a_judge_that_does_not_care(
    name: str, tmp_path: Path
) -> None:
    joined = f"{name}{'+' if ':' in name else ':'}shuffle=7"
    head = name.partition(":")[0]

    def picture(prompt: str) -> np.ndarray:
        return drawn(prompt if prompt.startswith("a photo") else f"a photo of {prompt}")

    folders = [tmp_path / "plain", tmp_path / "shuffled"]
    for folder in folders:
        folder.mkdir()
    plain = score_of(name, folders[0], picture)
    shuffled = score_of(joined, folders[1], picture)
    assert shuffled[f"{head}[shape-rules-1, shuffle 7]"] == plain[f"{head}[shape-rules-1]"]
    task = registry.task(joined)
    samples = list(task.samples(Data.at(next(folders[1].iterdir()), images_per_prompt=1)))
    assert any(s.target["order"] != sorted(s.target["order"]) for s in samples)
    again = list(task.samples(Data.at(next(folders[1].iterdir()), images_per_prompt=1)))
    assert [s.target["order"] for s in again] == [s.target["order"] for s in samples]


def test_a_shuffled_reply_belongs_to_the_points_as_they_were_asked(tmp_path: Path) -> None:
    """The judge says yes to the first line alone: in any order that is one point of three."""
    points = [{"id": n, "text": f"Is it {n}?", "kind": f"k{n}"} for n in (1, 2, 3)]
    file = written(tmp_path, *({"id": f"i{k}", "points": points, "images": 1} for k in range(6)))
    (tmp_path / "checklist.toml").write_text('ask = "together"\nreply = "lines"\n')
    task = registry.task(f"checklist:{file}+shuffle=3")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    answers = [Answer(s, tmp_path / "a.png") for s in task.samples(Data.at(tmp_path))]
    rows = task.mark(answers, {"judge": Judge(Says("yes\nno\nno"))})
    for answer, row in zip(answers, rows, strict=True):
        first = str(answer.sample.target["order"][0] + 1)
        assert {k for k, right in json.loads(row["points"]).items() if right} == {first}


def test_an_order_is_refused_where_it_is_of_no_account(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="asked about one by one"):
        task = registry.task("checklist:shuffle=1")
        task.sources["mini"].make(tmp_path)
        list(task.samples(Data.at(tmp_path)))
    for name in ("tiif:shuffle=x", "specv:order=1"):
        with pytest.raises(UserError, match=r"give (tiif|specv):shuffle=SEED"):
            registry.task(name)
    with pytest.raises(UserError, match="takes no argument"):
        registry.task("dsg:shuffle=1")


def test_the_option_shuffles_the_tasks_that_ask_together(capsys: Any, tmp_path: Path) -> None:
    given = ("--model", "scripted", "--limit", "2", "--output", str(tmp_path / "run"))
    assert cli.main(["--tasks", "tiif,dsg", "--shuffle-points", "5", *given]) == 0
    assert "tiif[shape-rules-1, shuffle 5]" in capsys.readouterr().out
    assert cli.main(["--tasks", "dsg", "--shuffle-points", "5", *given]) == 2
    assert "none of the tasks asks about several points" in capsys.readouterr().err
