"""``.processes``, a session or a lock of a stranger's run folder that is a link out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmon_eval import cli

RUN = ["--model", "scripted", "--tasks", "geneval", "--limit", "2"]
CHAPTER = "chapter one\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*RUN, "--output", "run"]) == 0
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/thesis.txt").write_text(CHAPTER)
    return tmp_path / "run"


@pytest.mark.parametrize("name", [".processes", ".session-x", ".lock", ".discarded-x", ".x.tmp"])
@pytest.mark.parametrize("way", ["mark", "run", "fresh"])
def test_nothing_outside_is_touched(
    run: Path, name: str, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if (run / name).exists():
        (run / name).unlink()
    (run / name).symlink_to("../victim/thesis.txt" if name == ".lock" else "../victim")
    words = {"mark": ["mark", "run"], "run": [*RUN, "--output", "run"]}
    words["fresh"] = [*words["run"], "--fresh"]
    capsys.readouterr()
    code = cli.main(words[way])
    said = capsys.readouterr().err
    victim = run.parent / "victim"
    assert [p.name for p in victim.iterdir()] == ["thesis.txt"]
    assert (victim / "thesis.txt").read_text() == CHAPTER
    assert code == 0 or (code == 2 and "is a link" in said)
