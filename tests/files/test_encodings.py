"""Published files as people's tools save them again: with a mark, in UTF-16, or no JSON at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harmon_eval.core import UserError
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
