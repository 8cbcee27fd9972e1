"""Question files as people have them: read, or one line that says what to do."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import registry
from harmon_eval.core import Data, UserError
from harmon_eval.tasks.vqa.files import read_questions

ROWS = "id,image,question,answer\n1,,Qué color?,café\n"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("cp1252.csv", "line 2: a byte is no UTF-8 text: save it as UTF-8"),
        ("utf16.csv", 1),
        ("kit_mcq.tsv", 1),
        ("kit_vqa.tsv", 1),
        ("pathonly.parquet", 1),
        ("imagelist.parquet", 2),
    ],
)
def test_the_case(
    shared_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    right: int | str,
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path))
    file = shared_folder / "cases/loaders-traceback" / name
    if isinstance(right, str):
        with pytest.raises(UserError, match=right):
            list(read_questions(file))
    else:
        assert {len(row.images) for row in read_questions(file)} == {right}


@pytest.mark.parametrize(
    ("folder", "task", "words"),
    [
        ("bom", "mmbench", ""),
        ("Index", "mmbench", "the column 'index' is missing; it has Index"),
        ("empty_bytes", "mmmu", "image_1 is empty: get the file again"),
    ],
)
def test_tables_of_benchmarks(
    measure: Any, shared_folder: Path, folder: str, task: str, words: str
) -> None:
    data = shared_folder / "cases/loaders-traceback" / folder
    given = ("--model", "scripted", "--suite", "official", "--data", data, "--tasks", task)
    found = measure(*given)
    assert found.code == (2 if words else 0) and words in found.said


def test_a_cell_that_is_no_picture_is_unscored(measure: Any, tmp_path: Path) -> None:
    """Longer than csv's own limit of 131,072 characters."""
    noise = base64.b64encode(bytes(range(256)) * 500).decode()
    (tmp_path / "big.csv").write_text(f"image,question,answer\n{noise},q?,dog\n")
    (row,) = read_questions(tmp_path / "big.csv")
    assert len(row.images) == 1 and row.images[0].stat().st_size == 128_000


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
)
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json"])
def test_encodings(tmp_path: Path, encoding: str, kind: str) -> None:
    row = {"question": "Qué color?", "answer": "café"}
    text = ROWS if kind == "csv" else ROWS.replace(",", "\t")
    if kind in ("json", "jsonl"):
        text = json.dumps([row] if kind == "json" else row, ensure_ascii=False)
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    file = tmp_path / f"mine.{kind}"
    file.write_bytes(mark + text.encode(encoding))
    if encoding in ("cp1252", "latin-1"):
        with pytest.raises(UserError, match="save it as UTF-8"):
            list(read_questions(file))
    else:
        (found,) = read_questions(file)
        assert (found.text, found.answers) == ("Qué color?", ["café"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no questions"),
        ("question,answer\n", "holds no questions"),
        ("question,answer\nq,a,b\n", "row 1 has more cells than there are columns"),
        ("question,question,answer\nq,r,a\n", "two columns are called 'question'"),
        ("frage,antwort\nq,a\n", "the field 'question' is missing; the columns are frage, antwort"),
        ("question,answer\nq\n", "row 1: the field 'answer' is empty"),
        ('question,answer\n"q,a\n', "is empty"),
    ],
)
def test_tables_with_a_flaw(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=words):
        list(read_questions(file))


def test_an_id_of_300_characters_is_shortened(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [{"id": "n" * 300 + end, "question": "q?", "answer": "a b"} for end in "xy"]
    file.write_text("\n".join(map(json.dumps, rows)))
    first, second = read_questions(file)
    assert first.id != second.id and len(first.id) < 100


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["a", "b", "None", "None"], "ab"),
        (["a", "b", "", ""], "ab"),
        (["a", "None", "c", ""], ["a", "None", "c"]),
        (["a", "b", "c", "None"], ["a", "b", "c", "None"]),  # the answer is D
        (["a", "", "c", ""], "option B is empty"),
    ],
)
def test_options_of_mmbench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[str], options: str | list[str]
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    answer = "D" if cells[2:] == ["c", "None"] else "A"
    head = "index\tquestion\tA\tB\tC\tD\tanswer\timage\n"
    row = ["1", "q?", *cells, answer, base64.b64encode(b"x" * 60).decode()]
    (tmp_path / "MMBench_DEV_EN.tsv").write_text(head + "\t".join(row) + "\n")
    samples = registry.task("mmbench").samples(Data.at(tmp_path))
    if isinstance(options, str) and "empty" in options:
        with pytest.raises(UserError, match=options):
            list(samples)
    else:
        assert list(next(iter(samples)).target["options"].values()) == list(options)
