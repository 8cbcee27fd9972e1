"""A run folder names a dataset of the hub, or weights that lie here: neither is fetched or loaded
before the user names it himself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli, registry
from harmon_eval.store.durable import read_json, write_json
from harmon_eval.tasks.linear_probe import hub

NAME = "someone/pictures"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of a linear probe whose manifest says that its images are a dataset of the hub."""
    monkeypatch.chdir(tmp_path)
    drawn = ["--model", "pixels", "--tasks", "linear_probe", "--limit", "8", "--predict-only"]
    assert cli.main([*drawn, "--output", "run"]) == 0
    manifest = read_json(Path("run/manifest.json"))
    manifest["tasks"] = {f"linear_probe:{NAME}": manifest["tasks"]["linear_probe"]}
    write_json(Path("run/manifest.json"), manifest)
    Path("run/linear_probe").rename("run/linear_probe-someone-pictures")
    return tmp_path / "run"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    names: list[str] = []

    def opened(name: str) -> Any:
        names.append(name)
        return {}

    monkeypatch.setattr(hub, "_opened", opened)
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path / "cache")
    return names


def test_no_dataset_is_fetched_that_only_the_manifest_names(
    run: Path, fetched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert cli.main(["mark", "run"]) == 2
    said = capsys.readouterr().err
    assert f"--tasks linear_probe:{NAME}" in said and "would be fetched" in said
    assert cli.main(["report", "run"]) == 0
    assert "would be fetched" in (run / "report.html").read_text()
    assert cli.main(["compare", "run", "run"]) == 2
    assert not fetched


def test_a_dataset_that_the_user_names_is(run: Path, fetched: list[str]) -> None:
    assert cli.main(["mark", "run", "--tasks", f"linear_probe:{NAME}"]) == 2  # it has no splits
    assert fetched == [NAME]


def test_weights_of_a_judge_that_only_the_manifest_names_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = ["--model", "scripted", "--tasks", "wise", "--limit", "2", "--predict-only"]
    assert cli.main([*drawn, "--output", "run"]) == 0
    Path("weights").mkdir()
    manifest = read_json(Path("run/manifest.json"))
    monkeypatch.setattr(registry, "model", lambda *_: pytest.fail("a model was opened"))
    for spec in ("vlm:weights", "harmon:run/manifest.json", "./weights"):
        write_json(Path("run/manifest.json"), {**manifest, "instruments": {"judge": spec}})
        assert cli.main(["mark", "run"]) == 2
        said = capsys.readouterr().err
        assert "which would be loaded" in said and f"--instrument judge={spec}" in said
