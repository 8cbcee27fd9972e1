"""Links that a folder of one's own holds are followed; names that lead out of it are not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from harmon_eval.adapters.folder import FolderResponder
from harmon_eval.core import UserError
from harmon_eval.files.question_files import find_image
from harmon_eval.tasks.vqa.files import read_questions


@pytest.mark.parametrize("name", ["snapshots/abc/q.jsonl", "dirlink/q.jsonl"])
def test_the_case(shared_folder: Path, tmp_path: Path, name: str) -> None:
    make = shared_folder / "cases/symlinked-images/make.sh"
    subprocess.run(["sh", make, tmp_path / "data"], check=True)
    (row,) = read_questions(tmp_path / "data" / name)
    assert row.images[0].is_file()


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (4, 4), "red").save(tmp_path / "elsewhere/a.png")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "one.png").symlink_to(tmp_path / "elsewhere/a.png")
    (folder / "imgs").symlink_to(tmp_path / "elsewhere")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    return folder


def test_links_of_a_file_and_of_a_folder(linked: Path) -> None:
    assert find_image("one.png", [linked]).is_file()
    assert find_image("imgs/a.png", [linked]).is_file()


@pytest.mark.parametrize("name", ["../elsewhere/a.png", "imgs/../../elsewhere/a.png", "/a.png"])
def test_names_stay_inside(linked: Path, name: str) -> None:
    with pytest.raises(UserError, match="is missing: put it into"):
        find_image(name, [linked])


def test_a_link_to_nothing_is_named(linked: Path) -> None:
    with pytest.raises(UserError, match=r"gone.png is a link to a missing file"):
        find_image("gone.png", [linked])


def test_a_link_among_drawings_is_named(linked: Path) -> None:
    Image.new("RGB", (4, 4)).save(linked / "b.png")
    (linked / "prompts.json").write_text(json.dumps({"b.png": "a", "one.png": "b"}))
    with pytest.raises(UserError, match=r"one.png is a link and lies outside"):
        FolderResponder(linked)
