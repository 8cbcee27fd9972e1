"""Results of edits go out in each benchmark's own layout, and come back as the same results."""

from __future__ import annotations

from pathlib import Path

import pytest

import harmon_eval
from harmon_eval import cli, registry
from harmon_eval.adapters.scripted import ScriptedResponder

# Task -> where its scripts look for the first result.
PLACES = {
    "gedit": "fullset/*/en/*_SRCIMG.png",
    "imgedit": "*.png",
    "imgedit:multiturn": "content_memory/*_turn1.png",
    "imgedit:uge": "*.png",
    "kris": "*_*/*.png",
    "magicbrush": "*/*_1.png",
    "magicbrush:multi": "*/*_iter_*.png",
    "omnicontext": "fullset/*_object/*.png",
    "pie": "annotation_images/*/*.png",
    "rise": "images/*_reasoning/*_*.png",
}


@pytest.mark.parametrize("name", PLACES)
def test_what_is_exported_is_read_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    first = harmon_eval.evaluate(ScriptedResponder(), tasks=name, output=tmp_path / "run", limit=3)[
        name
    ]
    out = tmp_path / "out"
    assert cli.main(["export", str(tmp_path / "run"), name, str(out)]) == 0
    assert list(out.glob(PLACES[name])), sorted(out.rglob("*.png"))
    again = harmon_eval.evaluate(f"folder:{out}", tasks=name, output=tmp_path / "again", limit=3)
    assert first.n == again[name].n > 0
    assert again[name].metrics == first.metrics


@pytest.mark.parametrize("name", ["gedit", "kris", "omnicontext", "pie", "rise"])
def test_prepare_finds_official_files_and_says_which_are_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mini suite's data lie in the official formats. Weights are not fetched here."""
    monkeypatch.setattr("harmon_eval.suites.download.needed", lambda *named: [])
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    data, none = tmp_path / "data", tmp_path / "none"
    data.mkdir()
    none.mkdir()
    source = registry.task(name).sources["mini"]
    assert source.make is not None
    source.make(data)
    assert cli.main(["prepare", name, "--data", str(data)]) == 0
    assert f"data: {data}" in capsys.readouterr().err
    assert cli.main(["prepare", name, "--data", str(none)]) == 2
    assert registry.task(name).sources["official"].text in capsys.readouterr().err
