"""A training loses nothing: killed, asked to leave, on a full disk, on more processes."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from harmon_eval.model.harmon import Harmon
from harmon_eval.model.train import reading
from harmon_eval.model.train.faults import Alarm
from harmon_eval.model.train.loop import train_harmon
from harmon_eval.model.train.optimizers import Average, freeze, optimizers
from harmon_eval.model.train.recipe import Recipe, RecipeError, TrainingError
from harmon_eval.model.train.run_folder import checkpoints, newest_state, read_history
from harmon_eval.model.train.start import begin
from harmon_eval.model.train.state import Position, Snapshots

LAUNCH = [sys.executable, "-m", "harmon_eval.model.train"]


def as_recipe(values: dict[str, Any]) -> Recipe:
    recipe = reading.from_values(values)
    assert isinstance(recipe, Recipe)
    return recipe


def as_toml(values: dict[str, Any]) -> str:
    """The values as a TOML document: every value here is written in TOML as in JSON."""
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, dict | list)]
    for key, tables in values.items():
        head = f"[[{key}]]" if isinstance(tables, list) else f"[{key}]"
        for table in tables if isinstance(tables, list) else [tables]:
            if isinstance(table, dict):
                lines += [head, *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def history(folder: Path) -> list[dict[str, Any]]:
    return read_history(folder / "history.jsonl")


def state(folder: Path) -> dict[str, Any]:
    found = newest_state(folder)
    assert found is not None
    return found


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}/{i}")
    else:
        assert one == other, where


def until(done: Any, process: subprocess.Popen[bytes]) -> None:
    while not done():
        assert process.poll() is None, "the training ended by itself"
        time.sleep(0.02)


def test_a_run_killed_with_9_and_resumed_ends_bit_identical(
    values: dict[str, Any], tmp_path: Path
) -> None:
    values["steps"], values["start"]["dropout"] = 12, 0.1
    train_harmon(as_recipe(values), tmp_path / "whole")
    (tmp_path / "recipe.toml").write_text(as_toml(values))
    command = [*LAUNCH, str(tmp_path / "recipe.toml"), "--output", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: checkpoints(tmp_path / "killed"), process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state(tmp_path / "killed")["position"]["step"] < 12
    train_harmon(as_recipe(values), tmp_path / "killed")
    whole, resumed = state(tmp_path / "whole"), state(tmp_path / "killed")
    for key in ("model", "optimizers", "average", "random", "alarm"):
        assert_same(whole[key], resumed[key], key)
    losses = [
        [(e["step"], e["text2image"]) for e in history(tmp_path / f)] for f in ("whole", "killed")
    ]
    assert losses[0] == losses[1]


def test_resuming_before_a_source_has_joined_ends_bit_identical(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """Weights that no source has reached yet have no optimizer state to restore."""
    values["steps"], values["watch"]["save_every"], values["watch"]["keep"] = 6, 2, 3
    for source in values["sources"][:2]:
        source["first_step"] = 4
    train_harmon(as_recipe(values), tmp_path / "run")
    whole = state(tmp_path / "run")
    for later in checkpoints(tmp_path / "run")[1:]:
        shutil.rmtree(later)
    assert state(tmp_path / "run")["position"]["step"] == 2
    train_harmon(as_recipe(values), tmp_path / "run")
    resumed = state(tmp_path / "run")
    for key in ("model", "optimizers", "average", "random", "alarm"):
        assert_same(whole[key], resumed[key], key)


def test_sigterm_saves_and_leaves(values: dict[str, Any], tmp_path: Path) -> None:
    values["steps"], values["watch"]["save_every"] = 100_000, 0
    (tmp_path / "recipe.toml").write_text(as_toml(values))
    command = [*LAUNCH, str(tmp_path / "recipe.toml"), "--output", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = tmp_path / "run" / "history.jsonl"
    until(lambda: log.exists() and log.stat().st_size > 0, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143
    assert b"the same command resumes" in said
    assert state(tmp_path / "run")["position"]["step"] == history(tmp_path / "run")[-1]["step"]


def test_on_a_full_disk_the_previous_checkpoint_survives(tiny: Recipe, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: writing fails half way, as there."""
    train_harmon(replace(tiny, steps=2), tmp_path)
    before = state(tmp_path)
    size = (checkpoints(tmp_path)[-1] / "state.pt").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
        with pytest.raises(TrainingError, match="the one before it is intact"):
            train_harmon(replace(tiny, steps=4), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert_same(before, state(tmp_path))
    train_harmon(replace(tiny, steps=4), tmp_path)
    assert state(tmp_path)["position"]["step"] == 4


def test_two_processes_see_the_losses_of_one_and_read_its_checkpoint(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """Float32 sums in another order: 1e-4 after six steps."""
    values["stratified"], values["device_batch"] = True, 2
    values["schedule"] = {"constant": 1.0}
    train_harmon(as_recipe(values), tmp_path / "one")
    values["steps"] = 3
    train_harmon(as_recipe(values), tmp_path / "two")
    evaluated = {"every": 6, "tasks": ["geneval"], "limit": 1}
    (tmp_path / "recipe.toml").write_text(as_toml({**values, "steps": 6, "eval": evaluated}))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "harmon_eval.model.train",
        str(tmp_path / "recipe.toml"),
        "--output",
        str(tmp_path / "two"),
    ]
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "HARMON_EVAL_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    scored = two.pop()  # by the first process alone
    assert scored["task"] == "geneval" and len(scored["interval"]) == 2
    assert [e["step"] for e in two] == [1, 2, 3, 4, 5, 6]
    for term in ("text2image", "image2text", "text", "norm"):
        assert [e[term] for e in two] == pytest.approx([e[term] for e in one], rel=1e-4), term
    weights = state(tmp_path / "one")["model"], state(tmp_path / "two")["model"]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(
    find_spec("deepspeed") is None,
    reason="not installed: pip install deepspeed (it compiles, so no dependency of the tests)",
)
def test_deepspeed_sees_the_losses_of_a_plain_training_and_resumes(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """ZeRO stage 2, as its users set it up; accelerate gives a CPU one process of DeepSpeed."""
    values["schedule"] = {"constant": 1.0}
    train_harmon(as_recipe(values), tmp_path / "plain")
    environment = {
        **os.environ,
        "ACCELERATE_USE_DEEPSPEED": "true",
        "DS_ACCELERATOR": "cpu",
        "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2",
    }
    environment.pop("ACCELERATE_USE_CPU", None)

    def launch(steps: int, **changed: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "recipe.toml").write_text(as_toml({**values, "steps": steps}))
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=1",
            "-m",
            "harmon_eval.model.train",
            str(tmp_path / "recipe.toml"),
            "--output",
            str(tmp_path / "deep"),
        ]
        return subprocess.run(
            command, capture_output=True, text=True, env={**environment, **changed}
        )

    for steps in (4, 6):
        done = launch(steps)
        assert done.returncode == 0, done.stderr[-3000:]
    assert (checkpoints(tmp_path / "deep")[-1] / "deepspeed").is_dir()
    one, other = history(tmp_path / "plain"), history(tmp_path / "deep")
    assert [entry["step"] for entry in other] == [1, 2, 3, 4, 5, 6]
    for term in ("text2image", "image2text", "text", "norm"):
        assert [e[term] for e in other] == pytest.approx([e[term] for e in one], rel=1e-3), term
    refused = launch(8, ACCELERATE_DEEPSPEED_ZERO_STAGE="3")
    assert "use --zero_stage 2, or FSDP2" in refused.stderr


def test_another_recipe_does_not_go_on_in_the_same_folder(tiny: Recipe, tmp_path: Path) -> None:
    train_harmon(replace(tiny, steps=1), tmp_path)
    with pytest.raises(RecipeError, match=r"another seed: 0, not 1; give another --output"):
        train_harmon(replace(tiny, seed=1), tmp_path)


def test_weights_spread_by_fsdp2_are_saved_whole_and_come_back(
    tiny: Recipe, tmp_path: Path
) -> None:
    """One process stands for many: accelerate's FSDP needs GPUs, torch's sharded tensors do not."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))

        def spread() -> tuple[Harmon, torch.optim.Optimizer, Average]:
            model = begin(tiny).model
            freeze(model, tiny.optimizer)
            for block in (*model.mar.encoder_blocks, *model.mar.decoder_blocks):
                fully_shard(block, mesh=mesh)
            fully_shard(model, mesh=mesh)
            (stepper,) = optimizers(model, tiny.optimizer)
            return model, stepper, Average(model, 0.9)

        model, stepper, average = spread()
        for parameter in model.parameters():
            assert isinstance(parameter, DTensor)
            if parameter.requires_grad:
                parameter.grad = torch.ones_like(parameter)
        stepper.step()
        average.update(model, 100)
        accelerator = Accelerator(cpu=True)
        snapshots, alarm = Snapshots(tmp_path, 2, accelerator), Alarm(tiny)
        position = Position(step=7, data={"streams": {}})
        snapshots.save(position, model, [accelerator.prepare(stepper)], average, alarm, must=True)
        saved = state(tmp_path)
        whole = begin(tiny).model.state_dict()
        assert {n: t.shape for n, t in saved["model"].items()} == {
            n: t.shape for n, t in whole.items()
        }
        kept = (*saved["model"].values(), *saved["average"].values())
        assert not any(isinstance(tensor, DTensor) for tensor in kept)
        other, fresh, mean = spread()
        prepared = [accelerator.prepare(fresh)]
        # Read once more: torch puts its pieces into the dict that it is given.
        assert snapshots.restore(state(tmp_path), other, prepared, mean, alarm) == position
        assert_same(saved["model"], {n: t.full_tensor() for n, t in other.state_dict().items()})
        assert_same(saved["average"], {n: t.full_tensor() for n, t in mean.weights.items()})
        snapshots.save(position, other, prepared, mean, alarm, must=True)
        assert_same(saved["optimizers"], state(tmp_path)["optimizers"])
    finally:
        torch.distributed.destroy_process_group()
