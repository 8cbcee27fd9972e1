"""A user's own questions from JSON lines, CSV and Parquet, through the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from harmon_eval import cli, registry
from harmon_eval.core import Answer, UserError

ROWS = [
    {"image": "a.png", "question": "What color?", "answer": ["red", "crimson"], "options": None},
    {"image": "a.png", "question": "Which?", "answer": "blue", "options": ["red", "blue"]},
    {"image": "", "question": "One plus one?", "answer": "two", "options": None},
]


def write(folder: Path, kind: Any) -> Any:
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    file = folder / f"mine.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "csv":
        texts = [{k: str(v) if v else "" for k, v in row.items()} for row in ROWS]
        pd.DataFrame(texts).to_csv(file, index=False)
    else:
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "PNG")
        image = {"bytes": buffer.getvalue(), "path": "a.png"}
        rows = [{**row, "image": image if row["image"] else None} for row in ROWS]
        pd.DataFrame([{**r, "answer": str(r["answer"])} for r in rows]).to_parquet(file)
    return file


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_every_form_asks_and_marks_the_same(
    data_at: Any, tmp_path: Path, marked: Any, kind: str
) -> None:
    task = registry.task(f"vqa:{write(tmp_path, kind)}")
    samples = list(task.samples(data_at()))
    assert [len(s.request.images) for s in samples] == [1, 1, 0]
    assert samples[1].request.question.startswith("Which?\nA. red\nB. blue\nAnswer with")
    assert samples[0].group == samples[1].group or kind == "parquet"
    # The third answer is "two": "2" is the same number, "12" is not.
    given = dict(zip([s.id for s in samples], ("Crimson.", "(B)", "2"), strict=True))
    assert task.summarize(marked(task, samples, lambda s: given[s.id]))["accuracy"] == 100
    given[samples[2].id] = "12"
    found = task.summarize(marked(task, samples, lambda s: given[s.id]))
    assert found["accuracy"] == pytest.approx(200 / 3)
    assert (found["accuracy_choice"], found["accuracy_open"]) == (100, 50)


def test_a_path_is_a_task_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, "jsonl")
    assert cli.main(["--tasks", f"vqa:{file}", "--model", "scripted", "--output", "run"]) == 0
    (metrics,) = (tmp_path / "run").glob("*/metrics.json")
    assert json.loads(metrics.read_text())["n"] == 3
    assert metrics.parent.name.startswith("vqa-")  # no path of the user's leads out of the run
    assert "accuracy" in capsys.readouterr().out
    assert cli.main(["mark", "run"]) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "answer": "c", "options": ["a", "b"]}, "row 1: the answer 'c' is none"),
        ({"question": "q"}, "row 1: the field 'answer' is missing"),
        ({"answer": "a"}, "row 1: the field 'question' is missing"),
        ({"question": "q", "answer": "a", "image": "../x.png"}, "is missing: put it into"),
        ({"question": "q", "answer": "a", "options": "[1+"}, None),
    ],
)
def test_what_is_wrong_with_a_row_is_said(
    tmp_path: Path, data_at: Any, row: dict[str, Any], message: str | None
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(row))
    if message is None:  # one text, though it begins like a list
        message = "row 1: options is one text"
    with pytest.raises(UserError, match=message):
        list(registry.task(f"vqa:{file}").samples(data_at()))


def test_other_files_are_refused(tmp_path: Path, data_at: Any) -> None:
    with pytest.raises(UserError, match="no such file"):
        list(registry.task("vqa:nowhere.jsonl").samples(data_at()))
    (tmp_path / "mine.xls").write_text("x")
    with pytest.raises(UserError, match=r"give a \.jsonl"):
        list(registry.task(f"vqa:{tmp_path / 'mine.xls'}").samples(data_at()))
    with pytest.raises(UserError, match="takes no argument"):
        registry.task("gqa:x")


def asked_of(data_at: Any, folder: Path, **row: Any) -> Any:
    """The one sample of a file with this row."""
    for name in ("one", "two"):
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    file = folder / "mine.jsonl"
    file.write_text(json.dumps({"answer": "a cat", **row}))
    (sample,) = registry.task(f"vqa:{file}").samples(data_at())
    return sample


@pytest.mark.parametrize(
    ("question", "images", "parts"),
    [
        ("<image>\nWhat is it?", ["one"], ["one", "What is it?"]),
        ("What is it? <image>", ["one"], ["one", "What is it?"]),
        ("In <image>, what is it?", ["one"], ["In ", "one", ", what is it?"]),
        ("<image><image>\nSame?", ["one", "two"], ["one", "two", "\nSame?"]),
        ("<image 2> or <image_1>?", ["one", "two"], ["two", " or ", "one", "?"]),
        ("<|image_1|> or <|image_2|>?", ["one", "two"], ["one", " or ", "two", "?"]),
    ],
)
def test_markers_say_where_the_pictures_belong(
    tmp_path: Path, data_at: Any, question: str, images: list[str], parts: list[str]
) -> None:
    """As LLaVA's, MMMU's and Phi's question files have them."""
    names = [f"{name}.png" for name in images]
    sample = asked_of(data_at, tmp_path, question=question, images=names)
    found = [part.stem if isinstance(part, Path) else part for part in sample.request.parts()]
    found[-1] = found[-1].partition("\nAnswer")[0]
    assert found == parts


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "<image>What?"}, "<image> in the text and no picture"),
        ({"question": "<image><image>?", "image": "one.png"}, "do not name each of the 1 pictures"),
        ({"question": "<image 2>?", "image": "one.png"}, "do not name each"),
        ({"question": "<image>?", "images": ["one.png", "two.png"]}, "each of the 2 pictures"),
        ({"question": ["a", "b"]}, "'question' is no text"),
        ({"question": "q", "hint": {"a": 1}}, "'hint' is no text"),
        ({"question": "q", "answer": [True, "x"]}, "a list with true or false"),
        ({"question": "q", "answer": True, "options": ["a", "b"]}, "answer true is none of"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, data_at: Any, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        asked_of(data_at, tmp_path, **row)


def test_true_and_false_of_json_are_yes_and_no(tmp_path: Path, data_at: Any) -> None:
    task = registry.task("vqa")
    open_one = asked_of(data_at, tmp_path, question="Is it?", answer=True)
    (row,) = task.mark([Answer(open_one, "Yes.")], {})
    assert row["correct"]
    (row,) = task.mark([Answer(open_one, "no")], {})
    assert not row["correct"]
    choice = asked_of(data_at, tmp_path, question="Is it?", answer=False, options=["Yes", "No"])
    assert choice.target["answers"] == ["B"]


@pytest.mark.parametrize("field", ["question", "answer", "group", "hint"])
def test_half_a_character_is_refused(tmp_path: Path, data_at: Any, field: str) -> None:
    with pytest.raises(UserError, match="half of a character"):
        asked_of(data_at, tmp_path, **{"question": "q", field: "a \ud83d b"})
    assert asked_of(data_at, tmp_path, question="🐈?").request.question.startswith("🐈?")


def test_an_object_over_several_lines_is_named(tmp_path: Path, data_at: Any) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"questions": [{"question": "q", "answer": "a"}]}, indent=2))
    with pytest.raises(UserError, match="holds one object: give a list of objects"):
        list(registry.task(f"vqa:{file}").samples(data_at()))
