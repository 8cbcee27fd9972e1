"""The newest checkpoint is cut off, empty or changed: the one before is taken, and it is said."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = [sys.executable, "-m", "harmon_eval.model.train"]
RECIPE = """
kind = "vae"
steps = 1
batch = 2
multipliers = [1, 1, 1, 1, 1]
bfloat16 = false
threads = 1
"""
SIZES = {f"{part}_width": 32 for part in ("llm", "mar", "head")}
SIZES |= {"llm_layers": 1, "mar_depth": 1, "head_depth": 1}
SET = [
    *("minutes=0", "steps=4", "threads=1"),
    *("watch.save_every=2", "watch.draw_every=0", "watch.keep=2"),
    *(f"sources.{number}.batch=2" for number in range(3)),
    *(f"sources.{number}.{key}" for number in range(2) for key in ("first_step=0", "cache=false")),
    *(f"start.{key}={value}" for key, value in SIZES.items()),
]


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    (folder / "recipe.toml").write_text(RECIPE)
    command = [*TRAIN, str(folder / "recipe.toml"), "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "checkpoint.pt"


def train(vae: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*TRAIN, "mini", "--output", str(folder), "--set", f"start.vae={vae}", *SET]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "run"
    done = train(vae, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("flaw", ["cut", "empty", "flipped"])
def test_the_training_goes_on_and_ends_with_the_same_weights(
    shared_folder: Path, vae: Path, run: Path, tmp_path: Path, flaw: str
) -> None:
    case = [sys.executable, str(shared_folder / "cases" / "checkpoint-truncated" / "case.py")]
    other = tmp_path / flaw
    shutil.copytree(run, other)
    subprocess.run([*case, "damage", str(other), flaw], check=True)
    done = train(vae, other)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if "step-0000004" in line]
    assert len(said) == 1 and "state.pt" in said[0] and "step-0000002 is taken" in said[0]
    same = [*case, "same", str(run), str(other)]
    assert subprocess.run(same, capture_output=True, text=True).stdout == "same weights: True\n"


def test_a_torn_recipe_is_one_line(vae: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "torn")
    (tmp_path / "torn" / "recipe.json").write_text('{"rec')
    done = train(vae, tmp_path / "torn")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "recipe.json is damaged: remove it" in done.stderr.splitlines()[-1]
