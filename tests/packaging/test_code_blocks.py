"""The code on the pages of the documentation: Python runs, data can be read."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from harmon_eval import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("model/**/*.md")])
FENCE = re.compile(r"^( *)```([\w-]+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SHELL = {
    "bash",
    "sh",
    "text",
}  # tests/packaging/test_site.py and tests/journeys read their commands
# Pages whose Python needs more around it than a folder, and the test that runs it.
ELSEWHERE = {
    "docs/adapters.md": "tests/adapters/test_settings.py",
    "docs/measures.md": "tests/instruments/test_measures.py",
    "docs/new-task.md": "tests/packaging/test_docs.py",
    "docs/python.md": "tests/packaging/test_docs.py",
    "docs/serve.md": "tests/serving/test_documented_clients.py",
}


def blocks(page: Path, kind: str) -> list[str]:
    return [body for _, found, body in FENCE.findall(page.read_text()) if found == kind]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


WITH_PYTHON = [named(page) for page in PAGES if blocks(page, "python")]


def a_marked_run(folder: Path) -> None:
    quick = ["--model", "scripted", "--tasks", "geneval", "--limit", "2"]
    assert cli.main([*quick, "--output", str(folder / "RUN")]) == 0


def a_picture_with_words(folder: Path) -> None:
    pytest.importorskip("rapidocr", reason="install the extra ocr")
    Image.new("RGB", (320, 120), "white").save(folder / "sign.png")


def a_tracker(folder: Path) -> None:
    pytest.importorskip("tensorboard", reason="install the extra tensorboard")


NEEDS: dict[str, Callable[[Path], None]] = {
    "docs/official.md": a_marked_run,
    "docs/text.md": a_picture_with_words,
    "docs/trackers.md": a_tracker,
}


@pytest.mark.parametrize("page", [page for page in WITH_PYTHON if page not in ELSEWHERE])
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    NEEDS.get(page, lambda folder: None)(tmp_path)
    place: dict[str, object] = {"__name__": "page"}
    for code in blocks(ROOT / page, "python"):
        exec(compile(code, page, "exec"), place)


@pytest.mark.parametrize("page", ELSEWHERE)
def test_other_pages_are_read_by_the_test_that_runs_them(page: str) -> None:
    assert page in WITH_PYTHON
    assert Path(page).name in (ROOT / ELSEWHERE[page]).read_text()


def json_lines(text: str) -> None:
    """One value, or one a line; a value may go on in the next line."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        _, end = decoder.raw_decode(rest)
        rest = rest[end:].lstrip()


READERS: dict[str, Callable[[str], object]] = {
    "json": json_lines,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}


def test_data_on_the_pages_can_be_read_and_no_kind_of_block_is_left_out() -> None:
    found = [(named(page), *b[1:]) for page in PAGES for b in FENCE.findall(page.read_text())]
    assert len(found) > 30
    for page, kind, body in found:
        if kind in READERS:
            READERS[kind](body)
        else:
            assert kind in SHELL | {"python"}, f"{page}: nothing checks blocks of {kind}"


def test_extras_that_the_pages_install_are_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    texts = [page.read_text() for page in PAGES]
    named_here = re.findall(r"pip install[^\n`]*?\[([\w,]+)\]", "\n".join(texts))
    assert len(named_here) > 10
    assert {extra for each in named_here for extra in each.split(",")} <= {*extras}


def test_pictures_on_the_pages_are_those_in_the_folder() -> None:
    texts = "\n".join(page.read_text() for page in PAGES)
    shown = set(re.findall(r"pictures/([\w-]+\.(?:png|svg))", texts))
    assert shown == {file.name for file in (ROOT / "docs" / "pictures").iterdir()}
