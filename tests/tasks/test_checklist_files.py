"""The format of checklists and their protocols, and what is wrong with a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli, registry, suites
from harmon_eval.core import Data, UserError
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.tasks.checklist.convert import convert
from harmon_eval.tasks.checklist.files import Item, Point, check_items, read_items
from harmon_eval.tasks.checklist.mini import items
from harmon_eval.tasks.checklist.task import load


def written(folder: Path, *lines: Any) -> Path:
    file = folder / "checklist.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


ONE = {"id": "a", "prompt": "p", "points": [{"id": 1, "text": "Is there a dog?"}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": []}, "has no points"),
        ({"id": "../a"}, "an id may hold"),
        ({"id": ""}, "'id'"),
        ({"point": []}, "'point' is not known: did you mean 'points'"),
        ({"points": [{"id": 1, "text": "?", "parent": []}]}, "did you mean 'parents'"),
        ({"points": [{"id": 1, "text": "?", "parents": [2]}]}, "point 1: there is no point 2"),
        ({"points": [{"id": 1, "text": "?", "parents": [1]}]}, "depends on itself"),
        (
            {
                "points": [
                    {"id": 1, "text": "?", "parents": [2]},
                    {"id": 2, "text": "?", "parents": [1]},
                ]
            },
            "depends on itself",
        ),
        ({"points": [{"id": 1, "text": "?"}, {"id": 1, "text": "?"}]}, "point 1 occurs twice"),
        ({"points": [{"id": 1, "text": "?", "weight": 0}]}, "must be a number above 0"),
        ({"points": [{"id": 1, "text": "?", "weight": True}]}, "must be a number above 0"),
        ({"points": [{"id": 1, "text": "?", "weight": 1e300}]}, "above 0, from 0.000001 to 1,000,"),
        ({"points": [{"id": 1, "text": "?", "weight": 1e-300}]}, "above 0, from 0.000001"),
        ({"points": [{"id": 1, "text": "?", "weight": float("nan")}]}, "must be a number above 0"),
        ({"points": [{"id": 1, "text": ""}]}, "needs an 'id' and a 'text'"),
        ({"points": ["?"]}, "list of objects"),
        ({"group": "short"}, "must be an object"),
        ({"images": 0}, "from 1 to 1000"),
        ({"images": 10**9}, "from 1 to 1000"),
        ({"group": {"length": ["x"]}}, "the group 'length' must be a text"),
        (
            {"points": [{"id": 1, "text": "?", "expect": "no", "forms": ["nope"]}]},
            "'forms' are for",
        ),
        ({"prompt": 3}, "'prompt' must be a text"),
    ],
)
def test_a_flaw_in_a_checklist_is_named(tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        read_items(written(tmp_path, {**ONE, **change}))


def test_an_empty_prompt_is_refused_with_its_line(tmp_path: Path) -> None:
    """Lines are those of the file, empty ones too; an array has items."""
    file = written(tmp_path, ONE)
    file.write_text(file.read_text() + "\n" + json.dumps({**ONE, "id": "b", "prompt": " "}) + "\n")
    with pytest.raises(UserError, match=r"checklist\.jsonl, line 3: the prompt is empty"):
        load(file)
    file.write_text(json.dumps([ONE, {"id": "b", "points": ONE["points"]}]))
    with pytest.raises(UserError, match=r"checklist\.jsonl, item 2: the prompt is empty"):
        load(file)


def test_items_that_occur_twice_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'a' occurs twice"):
        read_items(written(tmp_path, ONE, ONE))
    with pytest.raises(UserError, match="no items"):
        read_items(written(tmp_path))
    long = [Point(str(i), "?", parents=(str(i + 1),) if i < 5_000 else ()) for i in range(5_001)]
    check_items([Item("deep", tuple(long))], "here")  # a chain of 5,000 is no recursion


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('aks = "each"', "did you mean 'ask'"),
        ('ask = "all"', "ask must be one of"),
        ('reply = "lines"', 'goes with reply = "word"'),
        ("total = []", "has no steps"),
        ('total = [{ mean = "below" }]', "points or items"),
        ("ask = ", "is no TOML"),
        ('total = [{ mean = "items", by = ["length"] }]', "its group lacks 'length'"),
        ("[families.f]\nof = 3", "a family is"),
        ('families = "f"', "a family is"),
    ],
)
def test_a_flaw_in_the_protocol_is_named(tmp_path: Path, toml: str, words: str) -> None:
    file = written(tmp_path, ONE)
    (tmp_path / "checklist.toml").write_text(toml)
    with pytest.raises(UserError, match=re.escape(words)):
        load(file)


def test_dsg_drops_the_dependencies_of_an_item_where_one_cannot_be_read(tmp_path: Path) -> None:
    from harmon_eval.tasks.dsg import task as dsg

    head = "item_id,text,proposition_id,dependency,tuple,question_natural_language\n"
    rows = (
        "vrd1,t,1,0,entity - whole (a),A?\nvrd1,t,2,1,attribute - color (a),B?\n"
        "vrd2,t,1,0,entity - whole (a),A?\nvrd2,t,2,1 3,global (a),B?\n"
    )
    (tmp_path / dsg.FILE).write_text(head + rows)
    first, second = dsg.load(Data.at(tmp_path)).items
    assert [p.parents for p in first.points] == [(), ("1",)]
    assert [p.parents for p in second.points] == [(), ()]
    assert [p.kind for p in first.points] == ["entity/whole", "attribute/color"]
    assert first.group == {"source": "vrd"}


DSG_ROWS = (
    "item_id,text,proposition_id,dependency,tuple,question_natural_language\n"
    "vrd1,t,1,0,entity - whole (a),A?\nvrd1,t,2,1,attribute - color (a),B?\n"
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("vrd1,t,2", "vrd1,t,"), "the proposition_id of a question is empty"),
        (("B?", ""), "point 2: its text is empty"),
        (("vrd1,t,1,", "vrd1,,1,"), "the prompt of sample 'vrd1/0000' is empty"),
    ],
)
def test_gaps_in_the_official_file_of_dsg_are_named(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    (tmp_path / "dsg-1k-anns.csv").write_text(DSG_ROWS.replace(*change))
    with pytest.raises(UserError, match=re.escape(words)):
        prepare("dsg", registry.task("dsg"), suites.load("official", tmp_path), RunSettings())


def test_fewer_prompts_than_the_benchmark_has_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "dsg-1k-anns.csv").write_text(DSG_ROWS.replace("2,1,", "2,3,"))
    suite = suites.load("official", tmp_path)
    prepare("dsg", registry.task("dsg"), suite, RunSettings())
    assert "1 prompt of the 1,060 that the benchmark has" in caplog.text
    assert "item 'vrd1': its dependencies cannot be followed" in caplog.text


def test_prompts_without_points_and_points_without_prompts_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of TIIF a whole file, of DPG an item, of SpecV its text."""
    asked = {"type": "shape", "yn_question_list": ["A?"], "yn_answer_list": ["yes"]}
    drawn = {"short_description": "a", "long_description": "a b"}
    for name, row in (("a_eval_prompts", asked), ("a_prompts", drawn), ("b_prompts", drawn)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    suite = suites.load("official", tmp_path)
    prepare("tiif", registry.task("tiif"), suite, RunSettings())
    assert "b_prompts.jsonl is left out: there are no questions" in caplog.text
    (tmp_path / "a_eval_prompts.jsonl").write_text(json.dumps({**asked, "type": " "}))
    with pytest.raises(UserError, match=r"line 1: the field 'type' is empty"):
        prepare("tiif", registry.task("tiif"), suite, RunSettings())
    (tmp_path / "prompts").mkdir()
    for name in ("x", "y"):
        (tmp_path / "prompts" / f"{name}.txt").write_text("a dog")
    row = "{},t,1,0,entity - whole (a),{}\n"
    head = DSG_ROWS.partition("\n")[0] + "\n"
    (tmp_path / "dpg_bench.csv").write_text(head + row.format("x", "A?") + row.format("z", "A?"))
    prepare("dpg", registry.task("dpg"), suite, RunSettings())
    assert "1 item without a prompt, such as 'z'" in caplog.text
    assert "no questions about 1 prompt, such as y.txt" in caplog.text
    (tmp_path / "dpg_bench.csv").write_text(head + row.format("x", " "))
    with pytest.raises(UserError, match="row 2: it needs an item_id and a question"):
        prepare("dpg", registry.task("dpg"), suite, RunSettings())
    (tmp_path / "t2i" / "layout").mkdir(parents=True)
    point = {"id": 1, "question": "A?", "expected_answer": "Yes", "score": 1}
    (tmp_path / "t2i" / "layout" / "1.json").write_text(json.dumps([point]))
    with pytest.raises(UserError, match=r"1\.json holds no prompt: .* into 1\.txt beside it"):
        prepare("specv", registry.task("specv"), suite, RunSettings())


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
    assert item.points[1] == Point(
        "2", "Is the dog red?", parents=("1",), weight=2.0, kind="attribute/color"
    )
    assert cli.main(command) == 2 and "exists" in capsys.readouterr().err
    table.write_text("id,point,wieght\ndog,Is there a dog?,2\n")
    assert cli.main([*command[:-1], str(tmp_path / "b.jsonl")]) == 2
    assert "did you mean 'weight'" in capsys.readouterr().err


def test_a_spreadsheets_empty_rows_and_cells_are_no_items(tmp_path: Path) -> None:
    """What describes an item may stand in any of its rows; two accounts of it are refused."""
    table, target = tmp_path / "points.csv", tmp_path / "checklist.jsonl"
    head = "id,prompt,point,weight,note,group:length\n"
    table.write_text(head + "\n,,,,,\na,,q,,,\na,a dog,r,,look,long\n,,,,,\n")
    convert(table, target)
    (item,) = read_items(target)
    assert (item.prompt, item.note, item.group) == ("a dog", "look", {"length": "long"})
    assert [point.text for point in item.points] == ["q", "r"]
    for rows, words in (
        ("a,p,q,,,short\na,p,r,,,long\n", "another group:length above ('short')"),
        ("a,p,q,,x,\na,p,r,,y,\n", "another note above ('x')"),
        ("a,p,q,,,\na,z,r,,,\n", "another prompt above ('p')"),
        ('a,p,q,"1,5",,\n', "point 1: the weight '1,5' is no number"),
        ("a,p,q,1e300,,\n", "point 1: the weight '1e300' must be a number above 0, from"),
        (",,,,,\n", "holds no rows"),
        ("a,,q,,,\n", "item 'a' has no prompt"),
    ):
        table.write_text(head + rows)
        with pytest.raises(UserError, match=re.escape(words)):
            convert(table, tmp_path / "other.jsonl")


def test_a_written_item_is_read_back_the_same(tmp_path: Path) -> None:
    from harmon_eval.tasks.checklist.files import line

    file = tmp_path / "checklist.jsonl"
    file.write_text("".join(line(item) + "\n" for item in items()))
    assert read_items(file) == items()
    whole = Item("a", (Point("1", "?"),), "p", {"length": "short"}, images=2, note="look twice")
    file.write_text(line(whole))
    assert read_items(file) == [whole]


def test_probabilities_have_no_dependencies(tmp_path: Path) -> None:
    (tmp_path / "checklist.jsonl").write_text(
        json.dumps({"id": "a", "points": [{"id": 1, "text": "?"}]})
    )
    (tmp_path / "checklist.toml").write_text('reply = "probability"\ndependency = "direct"\n')
    with pytest.raises(UserError, match='goes with dependency = "none"'):
        load(tmp_path / "checklist.jsonl")
