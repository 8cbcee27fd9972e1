"""The mean of two models' weights, as a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harmon_eval.model.checkpoint import load
from harmon_eval.model.train.__main__ import main
from harmon_eval.model.train.export import export_checkpoint
from harmon_eval.model.train.loop import train_harmon
from harmon_eval.model.train.recipe import Recipe


@pytest.fixture
def two(tiny: Recipe, tmp_path: Path) -> tuple[Path, Path]:
    """Two checkpoints of a training."""
    train_harmon(tiny, tmp_path / "run")
    places = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))
    for place, name in zip((places[0], places[-1]), ("first", "second"), strict=True):
        export_checkpoint(place, tmp_path / name, torch.float32)
    return tmp_path / "first", tmp_path / "second"


def test_every_weight_is_the_weighted_mean_of_the_two(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    names = [str(place) for place in two]
    into = tmp_path / "mean"
    assert main(["average", *names, str(into), "--share", "0.25", "--dtype", "float32"]) == 0
    mean = load(str(into))
    found = mean.pipeline.model.state_dict()
    first, second = (load(name).pipeline.model.state_dict() for name in names)
    for name, weight in found.items():
        torch.testing.assert_close(weight, 0.75 * first[name] + 0.25 * second[name], msg=name)
    assert any(not torch.equal(first[name], second[name]) for name in found)
    assert [part["share"] for part in mean.training["average"]] == [0.75, 0.25]


def test_a_share_of_none_or_all_gives_one_of_the_two_back(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    names = [str(place) for place in two]
    for share, expected in (("0", names[0]), ("1", names[1])):
        into = tmp_path / f"share-{share}"
        assert main(["average", *names, str(into), "--share", share, "--dtype", "float32"]) == 0
        assert load(str(into)).fingerprint == load(expected).fingerprint


@pytest.mark.parametrize(
    "more, message",
    [
        (["--share", "1.5"], "between 0 and 1"),
        (["--share", "nan"], "between 0 and 1"),
    ],
)
def test_a_share_outside_is_refused(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["average", "harmon-mini", "harmon-mini", str(tmp_path / "x"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_models_of_different_shapes_are_refused_and_nothing_is_written(
    two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "mean"
    assert main(["average", "harmon-mini", str(two[0]), str(into)]) == 2
    assert "architecture" in capsys.readouterr().err
    assert main(["average", str(tmp_path / "nowhere"), str(two[0]), str(into)]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not into.exists()
