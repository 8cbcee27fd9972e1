"""Published files as people's tools save them again: with a mark, in UTF-16, or no JSON at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval.core import UserError
from harmon_eval.files.drawn import read_drawn
from harmon_eval.files.question_files import read_table
from harmon_eval.tasks.checklist.convert import convert
from harmon_eval.tasks.checklist.files import read_items
from harmon_eval.tasks.coco_fid.task import load_captions
from harmon_eval.tasks.geneval.layout import read_metadata
from harmon_eval.tasks.mjhq.files import load_prompts

CAPTIONS = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"id": 5, "image_id": 1, "caption": "un café"}],
}
PROMPTS = {"key": {"category": "food", "prompt": "un café"}}
ITEM = {"tag": "single_object", "prompt": "un café", "include": [{"class": "cup", "count": 1}]}
LOADERS: list[tuple[Callable[[Path], Any], Any]] = [
    (load_captions, CAPTIONS),
    (load_prompts, PROMPTS),
    (read_metadata, ITEM),
]
cases = pytest.mark.parametrize(("load", "content"), LOADERS, ids=["coco", "mjhq", "geneval"])


@cases
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_how_to_read(
    tmp_path: Path, load: Callable[[Path], Any], content: Any, encoding: str
) -> None:
    text = json.dumps(content, ensure_ascii=False)
    for name, written in (("plain.json", "utf-8"), ("other.json", encoding)):
        (tmp_path / name).write_text(text, encoding=written)
    assert load(tmp_path / "other.json") == load(tmp_path / "plain.json")


@cases
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        "caf\xe9".encode("latin-1"),
        b"",
        "{}".encode("utf-16-le"),
        b"null",
        b"[1, 2]",
        b'{"images": [{"id": 1e999, "file_name": "a.jpg"}], "annotations": []}',
        b"<!DOCTYPE html>",
    ],
    ids=["deep", "latin-1", "empty", "no mark", "null", "list", "infinite", "web page"],
)
def test_what_is_no_such_file_is_one_line(
    tmp_path: Path, load: Callable[[Path], Any], content: Any, data: bytes
) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"mine\.json"):
        load(file)


@cases
def test_a_pipe_is_not_waited_for(
    tmp_path: Path, load: Callable[[Path], Any], content: Any
) -> None:
    os.mkfifo(tmp_path / "mine.json")
    with pytest.raises(UserError, match="is no file"):
        load(tmp_path / "mine.json")


@pytest.mark.parametrize("head", ["sep=;\r\n", "SEP=;\n", '"sep=;"\r\n', "sep=;;;\n", ""])
def test_the_line_that_excel_writes_above_a_csv_is_no_row(tmp_path: Path, head: str) -> None:
    """It says what separates the cells; without it, the head tells."""
    (tmp_path / "q.csv").write_text(f"{head}question;answer\r\nwhat, now?;a\r\n")
    assert read_table(tmp_path / "q.csv") == [{"question": "what, now?", "answer": "a"}]
    (tmp_path / "points.csv").write_text(f"{head}prompt;point\na dog;Is there a dog?\n")
    convert(tmp_path / "points.csv", tmp_path / "points.jsonl")
    (item,) = read_items(tmp_path / "points.jsonl")
    assert (item.prompt, item.points[0].text) == ("a dog", "Is there a dog?")
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "prompts.csv").write_text(f"{head}file;prompt\na.png;a dog\n")
    (drawn,) = read_drawn(tmp_path / "drawn")
    assert (drawn.file.name, drawn.prompt) == ("a.png", "a dog")


def test_a_separator_that_the_head_would_not_tell(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("sep=|\na, b|c;d\n1|2\n")
    assert read_table(tmp_path / "q.csv") == [{"a, b": "1", "c;d": "2"}]
