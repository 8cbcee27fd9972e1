"""What a newcomer does wrong in the first half hour: each ends in one line that names the cause."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import harmon_eval
from harmon_eval import plugins, registry
from harmon_eval.core import UserError
from harmon_eval.files.question_files import read_json_rows
from harmon_eval.suites.suite import _own_code
from harmon_eval.tasks.vqa.files import _answers, _letter


@pytest.mark.parametrize("name", ["", " ", "?cfg=3"])
def test_an_empty_model_name_is_no_default(name: str) -> None:
    for look in (registry.model, registry.check_model):
        with pytest.raises(UserError, match="names no model"):
            look(name)


@pytest.mark.parametrize("answer", ["yes", b"yes", {"yes": 1}, {"yes"}])
def test_one_answer_to_a_batch_is_never_cut_into_letters(answer: Any, tmp_path: Path) -> None:
    class Model:
        def ask(self, requests: list[Any]) -> Any:
            return answer

    with pytest.raises(UserError, match="has to give a list"):
        harmon_eval.evaluate(Model(), "pope", limit=1, output=str(tmp_path / "run"))


def test_settings_that_are_no_number_are_refused(tmp_path: Path) -> None:
    class Model:
        def __init__(self) -> None:
            self.settings = {"scale": float("nan")}

        def ask(self, requests: list[Any]) -> list[str]:
            return ["yes"] * len(requests)

    with pytest.raises(UserError, match="plain values"):
        harmon_eval.evaluate(Model(), "pope", limit=1, output=str(tmp_path / "run"))


def test_an_included_file_that_exits_is_named(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    file.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(UserError, match="ends the program"):
        harmon_eval.include(str(file))


def test_an_answer_that_two_options_have_is_named_as_that() -> None:
    with pytest.raises(UserError, match="several options \\(A, B\\)"):
        _letter("cat", {"A": "cat", "B": "cat"}, "row 1")
    with pytest.raises(UserError, match="'answer' is empty"):
        _answers("", "answer", {}, "row 1")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_spreadsheet_s_separators_are_read(mark: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    lines = [["question", "image", "answer"], ["What, or; who?", "a.png", "red"]]
    lines[1][0] = '"' + lines[1][0] + '"'
    file = tmp_path / "own.csv"
    file.write_text("".join(mark.join(line) + "\r\n" for line in lines), encoding="utf-8-sig")

    class Model:
        def ask(self, requests: list[Any]) -> list[str]:
            assert all("What, or; who?" in r.question and len(r.images) == 1 for r in requests)
            return ["red"] * len(requests)

    run = harmon_eval.evaluate(Model(), f"vqa:{file}", output=str(tmp_path / "run"))
    assert run[f"vqa:{file}"].score == 100 and run.code == 0


def test_a_broken_line_of_json_lines_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps({"question": "q"}) + '\n{"question":\n')
    with pytest.raises(UserError, match="line 2"):
        read_json_rows(file)


def test_a_plug_in_s_data_are_made_again_when_its_code_changes(tmp_path: Path) -> None:
    from harmon_eval.tasks.gqa.task import TASK as gqa

    source = gqa.sources["mini"].make
    assert source is not None and _own_code(source) == ""
    (tmp_path / "own.py").write_text("TASK = 1\ndef make(folder): pass\n")
    [name] = plugins.include(tmp_path / "own.py")
    module = plugins._included[name]
    before = _own_code(module.make)
    (tmp_path / "own.py").write_text("TASK = 1\ndef make(folder): return\n")
    assert before and _own_code(module.make) != before
