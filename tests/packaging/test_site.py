"""The documentation as a whole: the site builds, links lead somewhere, commands are understood."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harmon_eval import cli
from harmon_eval.model.train.__main__ import main as train

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        ROOT / "results" / "LEADERBOARD.md",
        ROOT / "model" / "bundled" / "harmon-mini" / "README.md",
    ]
)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROGRAM = re.compile(r"python3? -m harmon_eval((?:\.model\.train)?)(?= |$)(.*)")


class Understood(Exception):
    pass


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_lead_to_files_and_to_headings(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    wrong = []
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    assert not wrong


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, without punctuation, a hyphen for each space."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in plain}


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """The calls of the program on a page: its part and its arguments. What holds an ellipsis or a
    variable is an outline, not a call."""
    text = page.read_text()
    blocks = [body for _, kind, body in FENCE.findall(text) if kind in ("", "sh", "bash", "yaml")]
    code = "\n".join([*blocks, *INLINE.findall(FENCE.sub("", text))]).replace("\\\n", " ")
    found = []
    for part, rest in PROGRAM.findall(code):
        words = shlex.split(re.split(r" [|>;]|&& |\$\(", rest)[0], comments=True)
        if not any("..." in word or "…" in word or "$" in word for word in words):
            found.append((part, words))
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_on_a_page_is_one_that_the_program_understands(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = argparse.ArgumentParser.parse_args

    def only_read(parser: argparse.ArgumentParser, words: list[str]) -> None:
        read(parser, words)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_read)
    for part, words in commands(page):
        if {"--help", "--version"} & {*words}:
            continue
        try:
            train(words) if part else cli.parse(words)
        except Understood:
            continue
        except SystemExit:
            pytest.fail(f"not understood: {' '.join(words)}")


def test_commands_are_found() -> None:
    found = [words for page in PAGES for _, words in commands(page)]
    assert len(found) > 100
    assert ["--tasks", "geneval,mjhq"] in found


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Strict: a wrong link, or a page that is not in the navigation, fails it."""
    pytest.importorskip("mkdocs", reason="install the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "harmon_eval.evaluate" in (tmp_path / "reference" / "python.html").read_text()
    front = (tmp_path / "readme.html").read_text()
    assert 'href="statistics.html"' in front and "docs/statistics.md" not in front
