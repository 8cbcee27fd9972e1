"""The newest checkpoint is cut off, empty or changed: the one before is taken, and it is said."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest

from harmon_eval.model.train.__main__ import main
from harmon_eval.model.train.recipe import VAERecipe
from harmon_eval.model.train.vae import train_vae

SIZES = {f"{part}_width": 32 for part in ("llm", "mar", "head")}
SIZES |= {"llm_layers": 1, "mar_depth": 1, "head_depth": 1}
SET = [
    *("minutes=0", "steps=4", "threads=1"),
    *("watch.save_every=2", "watch.draw_every=0", "watch.keep=2"),
    *(f"sources.{number}.batch=2" for number in range(3)),
    *(f"sources.{number}.{key}" for number in range(2) for key in ("first_step=0", "cache=false")),
    *(f"start.{key}={value}" for key, value in SIZES.items()),
    "start.unit_latents=2",
]


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = VAERecipe(steps=1, batch=2, multipliers=(1, 1, 1, 1, 1), bfloat16=False, threads=1)
    return train_vae(recipe, tmp_path_factory.mktemp("vae"))


def train(vae: Path, folder: Path) -> int:
    return main(["mini", "--output", str(folder), "--set", f"start.vae={vae}", *SET])


@pytest.fixture(scope="module")
def run(vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "run"
    assert train(vae, folder) == 0
    return folder


@pytest.mark.parametrize("flaw", ["cut", "empty", "flipped"])
def test_the_training_goes_on_and_ends_with_the_same_weights(
    shared_folder: Path,
    vae: Path,
    run: Path,
    tmp_path: Path,
    flaw: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def case(*words: str) -> str:
        file = shared_folder / "cases" / "checkpoint-truncated" / "case.py"
        monkeypatch.setattr(sys, "argv", [str(file), *words])
        runpy.run_path(str(file))
        return capsys.readouterr().out

    other = tmp_path / flaw
    shutil.copytree(run, other)
    case("damage", str(other), flaw)
    assert train(vae, other) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "step-0000004" in line]
    assert len(said) == 1 and "state.pt" in said[0] and "step-0000002 is taken" in said[0]
    assert case("same", str(run), str(other)) == "same weights: True\n"


def test_a_torn_recipe_is_one_line(
    vae: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "torn")
    (tmp_path / "torn" / "recipe.json").write_text('{"rec')
    assert train(vae, tmp_path / "torn") == 2
    assert "recipe.json is damaged: remove it" in capsys.readouterr().err.splitlines()[-1]
