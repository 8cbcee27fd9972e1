"""The documentation as a whole: the site builds, links lead somewhere, commands are understood."""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import harmon_eval
from harmon_eval import cli, core
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
MODULE = r"-m (harmon_eval(?:\.model\.train)?|benchmarks\.\w+)(?= |$)"
PROGRAM = re.compile(rf"(?:{MODULE}|(?<![\w/-])harmon-eval(?= [a-z-]))(.*)")


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
    """The calls of modules on a page: module and arguments. What holds an ellipsis or brackets is
    an outline, not a call."""
    text = page.read_text()
    blocks = [body for _, kind, body in FENCE.findall(text) if kind in ("", "sh", "bash", "yaml")]
    code = "\n".join([*blocks, *INLINE.findall(FENCE.sub("", text))]).replace("\\\n", " ")
    code = re.sub(r"^\$train\b", "-m harmon_eval.model.train", code, flags=re.MULTILINE)
    found = []
    for part, rest in PROGRAM.findall(code):
        words = shlex.split(re.split(r" [|>;]|&& |\$\(|\)\"", rest)[0], comments=True)
        if not any("..." in word or "…" in word or word[0] in "[" for word in words if word):
            found.append((part or "harmon_eval", words))
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_on_a_page_is_one_that_the_program_understands(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = argparse.ArgumentParser.parse_args

    def only_read(parser: argparse.ArgumentParser, words: list[str]) -> None:
        read(parser, words)
        raise Understood

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_read)
    for part, words in commands(page):
        if {"--help", "--version"} & {*words}:
            continue
        if "--config" in words:  # a file of the reader's own
            options = tmp_path / words[words.index("--config") + 1]
            options.parent.mkdir(exist_ok=True)
            options.touch()
        try:
            if part.startswith("benchmarks"):
                assert (ROOT / f"{part.replace('.', '/')}.py").is_file(), part
            elif part == "harmon_eval":
                cli.parse(words)
            else:
                train(words)
        except Understood:
            continue
        except SystemExit:
            pytest.fail(f"not understood: {' '.join(words)}")


def test_commands_are_found() -> None:
    found = [words for page in PAGES for _, words in commands(page)]
    assert len(found) > 70
    for words in ("--tasks geneval,mjhq", "completion bash", "stage1 --output runs/stage1"):
        assert words.split() in found


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Strict: a wrong link, or a page that the index does not name, fails it."""
    pytest.importorskip("mkdocs", reason="install the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reference = "".join(page.read_text() for page in (tmp_path / "reference").glob("*.html"))
    documented = set(re.findall(r'id="harmon_eval\.[\w.]*?(\w+)"', reference))
    public = {*harmon_eval.__all__, *core.__all__, "HarmonPipeline", "DrawSettings"}
    assert public - documented <= {"NOT_GIVEN"}, "the reference leaves out what is public"
    tour = (tmp_path / "tour.html").read_text()
    assert "coco_f1_macro" in tour and tour.count("pictures/tour-") == 3, "with its outputs"
    assert "index.html" in (tmp_path / "404.html").read_text().split("does not exist")[1]
    front = (tmp_path / "readme.html").read_text()
    assert 'href="statistics.html"' in front


def test_the_tour_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook in a kernel of its own, with the pictures that it promises."""
    nbformat = pytest.importorskip("nbformat", reason="install the extra docs")
    nbclient = pytest.importorskip("nbclient", reason="install the extra docs")
    pytest.importorskip("ipykernel", reason="install the extra docs")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tour = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    nbclient.NotebookClient(tour, timeout=540, kernel_name="python3").execute(cwd=tmp_path)
    told = [output for cell in tour.cells for output in cell.get("outputs", [])]
    texts = "".join(str(output.get("text", "")) for output in told)
    pages = [str(output["data"].get("text/html", "")) for output in told if "data" in output]
    assert "Traceback" not in texts and "report:" in texts
    assert sum("data:image" in page for page in pages) == 2
    assert any("image/png" in output.get("data", {}) for output in told)


def test_the_tour_can_be_read_where_nothing_runs() -> None:
    """Its outputs are stored, as pictures that every forge shows."""
    stored = (ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8")
    assert len(stored) < 300_000
    notebook = json.loads(stored)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    digest = hashlib.sha256("\0".join("".join(c["source"]) for c in code).encode()).hexdigest()
    assert notebook["metadata"]["outputs_of"] == digest, "`make tour` runs the changed cells"
    assert all(cell["outputs"] for cell in code), "`make tour`"
    told = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in told if output["output_type"] == "error"]
    data = [output.get("data", {}) for output in told]
    pictures = [base64.b64decode("".join(d["image/png"])) for d in data if "image/png" in d]
    sizes = [Image.open(io.BytesIO(picture)).size for picture in pictures]
    assert len(sizes) == 3 and all(width >= 192 for width, _ in sizes)
    assert not [d for d in data if "data:image" in "".join(d.get("text/html", ""))]
    assert str(Path.home()) not in stored and str(ROOT) not in stored
