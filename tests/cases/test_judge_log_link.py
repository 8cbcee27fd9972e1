"""Links in a run folder that came from somebody else lead nowhere, for reading or for writing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from harmon_eval import cli

Command = Callable[..., tuple[int, str, str]]
RUN = ["--model", "scripted", "--tasks", "wise,geneval", "--limit", "4"]
NOTES = "my notes\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert cli.main([*RUN, "--output", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "run", tmp_path / "run")
    (tmp_path / "outside").mkdir()
    return tmp_path / "run"


@pytest.fixture
def command(run: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(list(words))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def content(folder: Path) -> dict[str, str]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def moved_out(run: Path, name: str) -> Path:
    """The file or folder ``name`` of a run becomes a link to itself outside."""
    inside, outside = run / name, run.parent / "outside" / Path(name).name
    inside.rename(outside)
    inside.symlink_to(os.path.relpath(outside, inside.parent))
    return outside


def test_the_judges_log_is_not_appended_to_outside(run: Path, command: Command) -> None:
    notes = run.parent / "outside/victim.txt"
    notes.write_text(NOTES)
    (run / "wise/judge.jsonl").unlink()
    (run / "wise/rows.parquet").unlink()
    (run / "wise/judge.jsonl").symlink_to("../../outside/victim.txt")
    for words in (("mark", "run"), (*RUN, "--output", "run")):
        code, _, said = command(*words)
        assert code == 2 and "judge.jsonl is a link" in said
        assert len([line for line in said.splitlines() if line.startswith("error:")]) == 1
    assert notes.read_text() == NOTES


LINKED = [
    "manifest.json",
    "wise",
    "geneval/images",
    "wise/judge.jsonl",
    "wise/responses.jsonl",
    "wise/rows.parquet",
    "wise/marks.json",
    "wise/metrics.json",
    "wise/full_results.json",
    "geneval/results.jsonl",
]


@pytest.mark.parametrize("name", LINKED)
@pytest.mark.parametrize("way", ["mark", "run", "fresh"])
def test_whatever_is_a_link_is_refused_or_replaced(
    run: Path, command: Command, name: str, way: str
) -> None:
    if not (run / name).exists():
        pytest.skip(f"this run has no {name}")
    moved_out(run, name)
    for file in (run / "wise/rows.parquet", run / "geneval/rows.parquet"):
        if not file.parent.is_symlink() and not file.is_symlink():
            file.unlink()  # so that all is marked and written again
    before = content(run.parent / "outside")
    words = {"mark": ("mark", "run"), "run": (*RUN, "--output", "run")}
    words["fresh"] = (*words["run"], "--fresh")
    code, _, said = command(*words[way])
    assert content(run.parent / "outside") == before
    assert code in (0, 2)
    if code == 2:
        assert "is a link" in said
    else:
        assert not (run / name).is_symlink()


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(run: Path, command: Command) -> None:
    for name in ("wise/judge.jsonl", "wise/rows.parquet", "manifest.json"):
        (run / name).unlink()
        os.mkfifo(run / name)
        code, _, said = command("mark", "run")
        assert code == 2 and "is no plain file" in said
        (run / name).unlink()
        (run / name).write_text("")


@pytest.mark.parametrize("way", ["picture", "folder", "id"])
def test_no_picture_from_outside_stands_in_a_report(
    run: Path, command: Command, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the link was put there after marking, or a row's id is a path."""
    import pandas as pd

    from harmon_eval.report import thumbnails

    secret = run.parent / "outside/secret.png"
    Image.new("RGB", (64, 64), (1, 2, 3)).save(secret)
    images = sorted((run / "geneval/images").rglob("*.png"))
    if way == "picture":
        images[0].unlink()
        images[0].symlink_to(secret)
    elif way == "folder":
        shutil.copy(secret, run.parent / "outside" / images[0].name)
        shutil.rmtree(images[0].parent)
        images[0].parent.symlink_to(run.parent / "outside")
    else:
        rows = pd.read_parquet(run / "geneval/rows.parquet")
        rows.loc[0, "id"] = "../../../outside/secret"
        rows.to_parquet(run / "geneval/rows.parquet", index=False)
    shown: list[Path] = []
    made = thumbnails.Thumbnails._make
    monkeypatch.setattr(
        thumbnails.Thumbnails, "_make", lambda self, file: (shown.append(file), made(self, file))[1]
    )
    code, _, _ = command("report", "run")
    assert code == 0 and shown
    assert not [file for file in shown if not file.resolve().is_relative_to(run.resolve())]


@pytest.mark.parametrize("name", ["geneval/rows.parquet", "geneval/metrics.json", "geneval"])
def test_nothing_behind_a_link_is_compared_or_shown(run: Path, command: Command, name: str) -> None:
    shutil.copytree(run, run.parent / "other")
    moved_out(run, name)
    for words in (("compare", "other", "run"), ("leaderboard", "run"), ("report", "run")):
        code, _, said = command(*words)
        if name.endswith("rows.parquet") and words[0] == "leaderboard":
            continue  # reads no rows
        assert code == 2 and "is a link" in said, words
