"""Recipes and starting points: what is refused, what is loaded from where, what is fresh."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType
from transformers import Qwen2Config, Qwen2ForCausalLM

from harmon_eval.model.checkpoint import load
from harmon_eval.model.config import HARMON_MINI
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.processor import build_word_tokenizer
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.train import reading
from harmon_eval.model.train.loop import check_devices
from harmon_eval.model.train.plan import describe
from harmon_eval.model.train.recipe import Recipe, RecipeError
from harmon_eval.model.train.start import begin
from harmon_eval.model.vae import VAE
from harmon_eval.suites.mini.language import VOCABULARY


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["stepz=3"], "unknown key 'stepz': did you mean 'steps'"),
        (["optimizer.emma=0.9"], "unknown key 'optimizer.emma': did you mean 'optimizer.ema'"),
        (["sources.0.batsch=1"], "did you mean 'sources.0.batch'"),
        (["sources.7.batch=1"], "there are 3 of these"),
        (["steps=many"], "steps must be a whole number, not 'many'"),
        (["stratified=1"], "stratified must be true or false, not 1"),
        (["optimizer.betas=[0.9]"], "optimizer.betas must hold 2 values"),
        (["optimizer.name=sgd"], "optimizer.name must be one of adamw, muon"),
        (["sources.0.task=video"], "sources.0.task must be one of text2image"),
        (["steps"], "--set takes key=value"),
        (["kind=vea"], "kind must be one of vae, harmon"),
        (["sources.2.first_step=1"], "the first step would be empty"),
    ],
)
def test_a_bad_recipe_is_refused_with_what_to_write(changed: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        reading.load("mini", changed)
    assert message in str(refused.value)


def test_latents_of_random_crops_are_not_cached() -> None:
    with pytest.raises(RecipeError, match=r'set crop = "centre"'):
        reading.load("finetune", ["sources.1.cache=true"])


def test_shipped_recipes_are_sound_and_say_their_stage() -> None:
    names = [
        "edit",
        "fast-head",
        "finetune",
        "finetune-decoder",
        "mini",
        "mini-128",
        "mini-edit",
        "mini-joint",
        "mini-letters",
        "mini-refine",
        "mini-vae",
        "one-pass",
        "reca",
        "stage1",
        "stage2",
        "stage3",
    ]
    assert reading.shipped_recipes() == names
    loaded: dict[str, Any] = {name: reading.load(name) for name in names}
    assert loaded["stage1"].optimizer.frozen == ("llm",)
    assert [loaded[f"stage{i}"].image_size for i in (1, 2, 3)] == [256, 256, 512]
    assert [source.repeat for source in loaded["stage3"].sources] == [1, 3, 16]
    assert [source.repeat for source in loaded["finetune"].sources] == [1, 4]
    changed = reading.load("mini", ["steps=7", "start.vae=somewhere", "optimizer.ema=0"])
    assert isinstance(changed, Recipe)
    assert (changed.steps, changed.start.vae, changed.optimizer.ema) == (7, "somewhere", 0.0)


def test_a_dry_run_counts_what_learns_and_loads_nothing() -> None:
    recipe = reading.load("stage1")
    said = describe(recipe)
    llm = next(line for line in said.splitlines() if line.startswith("llm"))
    assert llm.split()[1:3] == ["0", "1,543,714,304"]
    assert "Qwen/Qwen2.5-1.5B-Instruct" in llm
    # 256 image tokens and 64 buffers for each of 5 x 1,024 pictures.
    assert "5120 images of 256 px, at least 1,638,400 tokens a step" in said


def test_a_dry_run_says_that_the_vae_is_missing() -> None:
    said = describe(reading.load("mini"))
    assert said.splitlines()[-1].startswith("still missing: start.vae names no VAE")
    assert "missing" not in describe(reading.load("mini", ["start.vae=harmon-mini"]))


def test_a_missing_vae_is_one_clear_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harmon_eval.model.train", "mini", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "mini-vae" in done.stderr
    assert "Traceback" not in done.stderr


def test_harmon_begins_from_an_llm_a_class_conditional_mar_and_kl16(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """Small random checkpoints in the layouts of the published ones."""
    values["start"] |= {
        "llm_width": 0,
        "llm_layers": 0,
        "mar_width": 0,
        "mar_depth": 0,
        "head_width": 0,
        "head_depth": 0,
        "buffers": 0,
    }
    tokenizer = build_word_tokenizer(VOCABULARY)
    llm = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )
    llm.save_pretrained(tmp_path / "qwen")
    tokenizer.save(tmp_path / "qwen")
    source = Harmon(HARMON_MINI)
    mar = {name: torch.rand_like(t) for name, t in source.mar.state_dict().items()}
    mar |= {f"diffloss.net.{n}": torch.rand_like(t) for n, t in source.head.state_dict().items()}
    mar["diffloss.train_diffusion.betas"] = torch.zeros(3)
    torch.save(
        {
            "model": {n: torch.zeros_like(t) for n, t in mar.items()},
            "model_ema": mar,
            "args": argparse.Namespace(lr=1e-4),
            "epoch": 400,
        },
        tmp_path / "mar.pth",
    )
    vae = VAE(HARMON_MINI.vae)
    kl16 = {**vae.state_dict(), "loss.logvar": torch.zeros(())}
    torch.save({"model": kl16}, tmp_path / "kl16.ckpt")
    values["start"] |= {
        "llm": str(tmp_path / "qwen"),
        "mar": str(tmp_path / "mar.pth"),
        "vae": str(tmp_path / "kl16.ckpt"),
    }
    recipe = reading.from_values(values)
    assert isinstance(recipe, Recipe)
    started = begin(recipe)
    got = started.model.state_dict()
    for name, tensor in llm.state_dict().items():
        assert torch.equal(got[f"llm.{name}"], tensor), name
    for name, tensor in mar.items():
        if "train_diffusion" not in name:
            ours = f"mar.{name}".replace("mar.diffloss.net.", "head.")
            assert torch.equal(got[ours], tensor), name
    for name, tensor in vae.state_dict().items():
        assert torch.equal(got[f"vae.{name}"], tensor), name
    assert started.origins == {
        "vae": str(tmp_path / "kl16.ckpt"),
        "mar": str(tmp_path / "mar.pth"),
        "head": str(tmp_path / "mar.pth"),
        "llm": str(tmp_path / "qwen"),
        "proj_in": "fresh",
        "proj_out": "fresh",
    }
    values["start"]["mar_depth"] = 5
    too_deep = reading.from_values(values)
    assert isinstance(too_deep, Recipe)
    with pytest.raises(RecipeError, match="does not fit the sizes"):
        begin(too_deep)


def test_a_training_begins_from_a_checkpoint_as_it_is(values: dict[str, Any]) -> None:
    """As stage2 and stage3 do from an exported folder: all weights, and the recipe's dropout."""
    values["start"] = {"checkpoint": "harmon-mini", "dropout": 0.25}
    recipe = reading.from_values(values)
    assert isinstance(recipe, Recipe)
    started = begin(recipe)
    loaded = load("harmon-mini")
    for name, tensor in loaded.pipeline.model.state_dict().items():
        assert torch.equal(started.model.state_dict()[name], tensor), name
    assert started.model.mar.encoder_blocks[0].attn.dropout == 0.25
    assert started.drawing == loaded.draw_settings != DrawSettings()
    assert set(started.origins.values()) == {f"harmon-mini ({loaded.fingerprint[:12]})"}


def test_what_cannot_be_spread_over_devices_is_refused(tiny: Recipe) -> None:
    def devices(world: int, kind: DistributedType) -> Any:
        return SimpleNamespace(num_processes=world, distributed_type=kind, deepspeed_plugin=None)

    check_devices(tiny, devices(2, DistributedType.FSDP))
    with pytest.raises(RecipeError, match=r"sources[.]0[.]batch = 4 .* a multiple of 3"):
        check_devices(tiny, devices(3, DistributedType.MULTI_GPU))
    muon = replace(tiny, optimizer=replace(tiny.optimizer, name="muon"))
    for kind in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        with pytest.raises(RecipeError, match="muon needs whole matrices"):
            check_devices(muon, devices(2, kind))
