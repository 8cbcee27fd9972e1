"""Train, export, follow the checkpoints, gate one against the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harmon_eval.model.train.__main__ import main as train

Call = Callable[..., Any]
VAE = """
kind = "vae"
steps = 1
batch = 2
multipliers = [1, 1, 1, 1, 1]
bfloat16 = false
threads = 1
save_every = 1
"""
TINY = """
kind = "harmon"
steps = 4
precision = "no"
threads = 1
[start]
vae = "vae/checkpoint.pt"
llm_width = 32
llm_layers = 1
mar_width = 32
mar_depth = 1
head_width = 32
head_depth = 1
buffers = 2
dropout = 0.0
[[sources]]
task = "text2image"
batch = 2
scenes = 8
cache = true
[[sources]]
task = "text"
batch = 2
[optimizer]
learning_rate = 1e-3
ema = 0.9
[watch]
log_every = 1
save_every = 2
"""
QUICK = ("--tasks", "geneval", "--limit", 2, "--steps", 1, "--diffusion-steps", 1)


def test_two_checkpoints_of_one_training_are_tracked_exported_and_gated(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "vae.toml").write_text(VAE)
    (tmp_path / "tiny.toml").write_text(TINY)
    call("--version")  # into the folder
    assert train(["vae.toml", "--output", "vae"]) == 0
    assert train(["tiny.toml", "--output", "run"]) == 0

    tracked = call("track", "run", "--output", "tracked", "--settle", 0, *QUICK)
    assert "other settings" not in tracked.err + tracked.out
    assert "left for the next time" not in tracked.err
    steps = sorted(path.name for path in (tmp_path / "tracked").iterdir() if path.is_dir())
    runs = [name for name in steps if name != "models"]
    assert len(runs) >= 2, "each checkpoint is a run"

    checkpoints = sorted((tmp_path / "run/checkpoints").iterdir())
    for name, checkpoint in zip(("first", "second"), checkpoints, strict=False):
        assert train(["export", str(checkpoint), name]) == 0
    abouts = [json.loads((tmp_path / n / "training.json").read_text()) for n in ("first", "second")]
    assert abouts[0] != abouts[1], "they were not trained alike, as any two checkpoints"
    assert call("--model", tmp_path / "first", "--output", "a", *QUICK).code == 0
    gated = call(
        *("--model", tmp_path / "second", "--output", "b", "--baseline", "a", "--gate"), *QUICK
    )
    assert "other settings" not in gated.err + gated.out
    assert "geneval" in gated.out and gated.code in (0, 1, 2)
    compared = call("compare", "a", "b")
    assert compared.code == gated.code
    assert compared.err == "", "no refusal: a verdict, whatever it is"
