"""A checkpoint that is not as it was written is noticed and named; one training a folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harmon_eval.model.train.checksums import Damaged, read_whole, verify
from harmon_eval.model.train.export import export_checkpoint
from harmon_eval.model.train.loop import train_harmon
from harmon_eval.model.train.recipe import Recipe, RecipeError, TrainingError, VAERecipe
from harmon_eval.model.train.run_folder import alone, checkpoints, newest_state, read_checkpoint
from harmon_eval.model.train.start import read_vae
from harmon_eval.model.train.vae import train_vae


def flip(file: Path) -> None:
    """64 bytes in the middle, as a bad disk does."""
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 255 for byte in data[middle : middle + 64])
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


FLAWS = [flip, cut, empty, Path.unlink]


@pytest.fixture
def short(tiny: Recipe) -> Recipe:
    return replace(tiny, steps=4)


@pytest.fixture
def run(short: Recipe, tmp_path: Path) -> Path:
    """Checkpoints of steps 2 and 4."""
    train_harmon(short, tmp_path / "run")
    assert [c.name for c in checkpoints(tmp_path / "run")] == ["step-0000002", "step-0000004"]
    return tmp_path / "run"


def test_every_kind_of_damage_ends_with_the_weights_of_an_undisturbed_run(
    short: Recipe, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = newest_state(run)
    assert whole is not None
    for flaw in FLAWS:
        flaw(run / "checkpoints" / "step-0000004" / "state.pt")
        capsys.readouterr()
        train_harmon(short, run)
        (said,) = [line for line in capsys.readouterr().err.splitlines() if "state.pt" in line]
        assert "step-0000002 is taken instead" in said
        again = newest_state(run)
        assert again is not None and again["position"]["step"] == 4
        assert all(torch.equal(again["model"][k], whole["model"][k]) for k in whole["model"])
    aside = sorted(path.name for path in (run / "damaged").iterdir())
    assert aside == ["step-0000004", *(f"step-0000004-{n}" for n in (2, 3, 4))]


def test_damaged_digests_and_files_beside_the_state_count_too(run: Path) -> None:
    last = checkpoints(run)[-1]
    (last / "digests.json").write_text('{"state.pt"')
    with pytest.raises(Damaged, match=r"digests\.json is damaged"):
        verify(last)
    digests = {"../x": {"bytes": 1, "sha256": "0"}}
    (last / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(Damaged, match=r"it names \.\./x"):
        verify(last)
    first = checkpoints(run)[0]
    listed = json.loads((first / "digests.json").read_text())
    assert set(listed) == {"state.pt"}
    listed["deepspeed/gone.pt"] = {"bytes": 1, "sha256": "0"}
    (first / "digests.json").write_text(json.dumps(listed))
    with pytest.raises(Damaged, match=r"gone\.pt is missing"):
        verify(first)


def test_a_checkpoint_from_before_there_were_digests_is_taken(short: Recipe, run: Path) -> None:
    for checkpoint in checkpoints(run):
        (checkpoint / "digests.json").unlink()
    train_harmon(replace(short, steps=5), run)
    cut(checkpoints(run)[-1] / "state.pt")
    (checkpoints(run)[-1] / "digests.json").unlink()
    state = newest_state(run)
    assert state is not None and state["position"]["step"] == 4


def test_where_none_is_whole_it_stops_and_says_so(short: Recipe, run: Path) -> None:
    for checkpoint in checkpoints(run):
        flip(checkpoint / "state.pt")
    before = sorted(path.name for path in checkpoints(run))
    with pytest.raises(TrainingError, match=r"no checkpoint before it is whole: remove .*checkpoi"):
        train_harmon(short, run)
    assert sorted(path.name for path in checkpoints(run)) == before


def test_an_export_takes_the_one_before_but_never_a_damaged_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(checkpoints(run)[-1] / "state.pt")
    with pytest.raises(RecipeError, match="its bytes changed"):
        export_checkpoint(checkpoints(run)[-1], tmp_path / "model")
    export_checkpoint(run, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "training.json").read_text())["steps"] == 2
    assert "step-0000002 is taken instead" in capsys.readouterr().err
    assert len(checkpoints(run)) == 2, "an export moves nothing"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("recipe.json", '{"rec', r"recipe\.json is damaged"),
        ("recipe.json", "[]", r"recipe\.json is damaged"),
        ("generation_config.json", '{"cfg', r"generation_config\.json is damaged"),
        ("tokenizer/tokenizer.json", '{"ver', r"tokenizer\.json is damaged"),
    ],
)
def test_torn_texts_of_a_run_are_named(
    run: Path, tmp_path: Path, name: str, content: str, words: str
) -> None:
    (run / name).write_text(content)
    with pytest.raises(RecipeError, match=words):
        export_checkpoint(run, tmp_path / "model")


# -- the VAE's single file -------------------------------------------------------------------

SMALL_VAE = VAERecipe(
    steps=4, batch=2, multipliers=(1, 1, 1, 1, 1), bfloat16=False, threads=1, save_every=2
)


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_vaes_training_takes_the_one_before(
    tmp_path: Path, flaw: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    file = train_vae(SMALL_VAE, tmp_path)
    whole = read_whole(file)
    flaw(file)
    train_vae(SMALL_VAE, tmp_path)
    if flaw is not Path.unlink:
        assert "checkpoint.pt" in capsys.readouterr().err
    again = read_whole(file)
    assert again["step"] == 4
    assert all(torch.equal(again["vae"][k], whole["vae"][k]) for k in whole["vae"])


def test_a_changed_vae_is_not_started_from(short: Recipe, tmp_path: Path) -> None:
    file = train_vae(replace(SMALL_VAE, steps=1), tmp_path)
    flip(file)
    start = replace(short.start, vae=str(file))
    with pytest.raises(RecipeError, match=r"checkpoint\.pt"):
        read_vae(start, None)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="remove it to begin anew"):
        train_vae(SMALL_VAE, tmp_path)


def test_another_vae_does_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    train_vae(replace(SMALL_VAE, steps=1), tmp_path)
    with pytest.raises(RecipeError, match=r"another kl_weight: 1\.5e-06, not 1\.0"):
        train_vae(replace(SMALL_VAE, kl_weight=1.0), tmp_path)


# -- one at a time ---------------------------------------------------------------------------


def test_two_trainings_do_not_share_a_folder(short: Recipe, tmp_path: Path) -> None:
    with alone(tmp_path):
        for train in (
            lambda: train_harmon(short, tmp_path),
            lambda: train_vae(SMALL_VAE, tmp_path),
        ):
            with pytest.raises(RecipeError, match="another training is writing"):
                train()
    assert not checkpoints(tmp_path)
    train_harmon(replace(short, steps=1), tmp_path)


def test_a_killed_training_blocks_nobody(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; "
        "from harmon_eval.model.train.run_folder import alone\n"
        "with alone(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(RecipeError, match="another training"), alone(tmp_path):
            pass
        os.kill(process.pid, signal.SIGKILL)
    with alone(tmp_path):
        pass


def test_a_copied_checkpoint_is_read_wherever_it_lies(run: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoints(run)[-1], tmp_path / "copy")
    assert read_checkpoint(tmp_path / "copy")["position"]["step"] == 4
