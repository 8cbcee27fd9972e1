"""Training: both losses learn, nothing frozen moves, and an interrupted run loses nothing."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harmon_eval.model.checkpoint import BUNDLED, load
from harmon_eval.model.config import HARMON_MINI
from harmon_eval.model.train import recipe as recipes
from harmon_eval.model.train.data import (
    HELD_OUT_STREAM,
    TRAINING_STREAM,
    stream_pixels,
    stream_scene,
)
from harmon_eval.model.train.export import export_checkpoint
from harmon_eval.model.train.loop import draw_mask, stratified_steps, train_harmon
from harmon_eval.model.train.recipe import HarmonRecipe, RecipeError, VAERecipe
from harmon_eval.model.train.run_folder import load_checkpoint
from harmon_eval.model.train.schedule import learning_rate_factor
from harmon_eval.model.train.start import read_vae
from harmon_eval.model.train.vae import train_vae
from harmon_eval.suites.mini import scenes

TINY_VAE = VAERecipe(
    steps=4, batch=2, blocks=1, multipliers=(1, 1, 1, 1, 1), save_every=2, bfloat16=False, threads=1
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> HarmonRecipe:
    """A recipe of seconds, around a VAE that was trained for four steps."""
    vae = train_vae(TINY_VAE, tmp_path_factory.mktemp("vae"))
    return HarmonRecipe(
        vae=str(vae),
        normalisation_scenes=32,
        steps=6,
        scenes=16,
        generation_batch=4,
        understanding_batch=2,
        save_every=3,
        log_every=1,
        llm_width=64,
        llm_layers=1,
        mar_width=64,
        mar_depth=1,
        head_width=64,
        head_depth=1,
        warmup=2,
        text_batch=2,
        text_steps=0,
    )


def test_text_teaches_the_llm_alone(tiny: HarmonRecipe, tmp_path: Path) -> None:
    one, two = (
        load_checkpoint(train_harmon(replace(tiny, text_steps=9, steps=n), tmp_path / str(n)))
        for n in (1, 3)
    )
    assert one and two
    changed = {n for n, w in one["model"].items() if not torch.equal(w, two["model"][n])}
    assert changed and all(name.startswith("llm.") for name in changed)
    assert set(history(tmp_path / "3")[-1]) == {"step", "seconds", "total", "text", "norm"}


def test_training_shows_no_combination_that_is_held_out() -> None:
    drawn = [stream_scene(0, TRAINING_STREAM, i) for i in range(300)]
    assert not any(scenes.unseen(scene) for scene in drawn)
    assert any(scenes.unseen(stream_scene(0, HELD_OUT_STREAM, i)) for i in range(50))


def test_a_training_can_start_from_the_vae_of_a_model(tiny: HarmonRecipe) -> None:
    vae = read_vae(replace(tiny, vae=str(BUNDLED / "harmon-mini")))
    latents = vae.encode(stream_pixels(0, HELD_OUT_STREAM, 0, 32))
    assert torch.allclose(latents.std(dim=(0, 1, 2)), torch.ones(16), atol=0.05)


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_both_losses_fall_when_few_scenes_are_seen_again_and_again(
    tiny: HarmonRecipe, tmp_path: Path
) -> None:
    train_harmon(replace(tiny, scenes=4, steps=150, save_every=150, constant=1.0), tmp_path)
    steps = history(tmp_path)
    for term, factor in (("text2image", 0.8), ("image2text", 0.5)):
        first, last = (np.mean([s[term] for s in part]) for part in (steps[:10], steps[-10:]))
        assert last < factor * first, term


def test_the_vae_stays_as_it_was_and_the_rest_learns(tiny: HarmonRecipe, tmp_path: Path) -> None:
    state = load_checkpoint(train_harmon(tiny, tmp_path))
    assert state is not None
    frozen = {f"vae.{name}": tensor for name, tensor in read_vae(tiny).state_dict().items()}
    for name, tensor in frozen.items():
        assert torch.equal(state["model"][name], tensor), name
        assert torch.equal(state["average"][name], tensor), name
    moved = [n for n in state["model"] if not torch.equal(state["model"][n], state["average"][n])]
    for part in (
        "mar.encoder_blocks",
        "mar.decoder_blocks",
        "llm.",
        "head.",
        "proj_in",
        "proj_out",
    ):
        assert any(name.startswith(part) for name in moved), part


def test_an_interrupted_run_ends_with_the_same_weights(tiny: HarmonRecipe, tmp_path: Path) -> None:
    whole = load_checkpoint(train_harmon(tiny, tmp_path / "whole"))
    state = load_checkpoint(train_harmon(replace(tiny, steps=3), tmp_path / "first"))
    assert state is not None
    resumed = load_checkpoint(train_harmon(tiny, tmp_path / "first"))
    assert whole is not None
    assert resumed is not None
    assert resumed["step"] == whole["step"] == 6
    for name, tensor in whole["model"].items():
        assert torch.equal(tensor, resumed["model"][name]), name


def test_the_last_steps_before_the_clock_ends_the_run_are_saved(
    tiny: HarmonRecipe, tmp_path: Path
) -> None:
    path = train_harmon(replace(tiny, steps=10**6, save_every=10**6, minutes=0.02), tmp_path)
    state = load_checkpoint(path)
    assert state is not None
    assert state["step"] == history(tmp_path)[-1]["step"] > 1


def test_what_was_trained_can_be_exported_and_used(tiny: HarmonRecipe, tmp_path: Path) -> None:
    checkpoint = train_harmon(tiny, tmp_path / "run")
    export_checkpoint(checkpoint, tmp_path / "model")
    loaded = load(str(tmp_path / "model"))
    assert loaded.pipeline.model.config.head.prediction == "velocity"
    image = loaded.pipeline.draw(["a photo of a star"], [0], loaded.draw_settings)[0]
    assert image.size == (64, 64)


def test_learning_rate_warms_up_stays_and_falls_by_a_cosine() -> None:
    def factor(step: float) -> float:
        return learning_rate_factor(step, 1000, warmup=100, constant=0.4, final=0.03)

    assert factor(0) == pytest.approx(1 / 101)
    assert factor(99) == pytest.approx(100 / 101)
    assert factor(100) == factor(400) == 1.0
    assert factor(700) == pytest.approx(0.03 + 0.97 / 2)
    assert factor(1000) == pytest.approx(0.03)


def test_one_mask_ratio_a_batch_from_a_truncated_normal() -> None:
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(2000):
        mask = draw_mask(HARMON_MINI.mar, 3, 16, rng)
        hidden = mask.sum(dim=1)
        assert len(set(hidden.tolist())) == 1
        counts.append(int(hidden[0]))
    assert min(counts) >= math.ceil(0.3 * 16)
    # More than 10 of 16 hidden: within 0.375 of the mean 1, of the 0.7 that are allowed.
    within = math.erf(0.375 / 0.35 / math.sqrt(2)) / math.erf(0.7 / 0.35 / math.sqrt(2))
    assert np.mean(np.array(counts) > 10) == pytest.approx(within, abs=0.04)


def test_diffusion_steps_cover_the_schedule_evenly() -> None:
    steps = stratified_steps(1000, 1000, np.random.default_rng(0)).numpy()
    assert sorted(steps) == list(range(1000))
    assert list(steps) != sorted(steps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "harmon", "stepz": 3}, "did you mean 'steps'"),
        ({"kind": "harmon", "steps": "many"}, "steps must be a int such as 8000, not 'many'"),
        ({"kind": "harmon", "bfloat16": 1}, "bfloat16 must be a bool"),
        ({"kind": "vea"}, "kind must be one of vae, harmon"),
    ],
)
def test_a_bad_recipe_is_refused_with_what_to_write(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.from_values(values)


def test_shipped_recipes_are_sound_and_overrides_have_their_types() -> None:
    assert recipes.shipped_recipes() == ["mini", "mini-vae"]
    for name in recipes.shipped_recipes():
        recipes.load(name)
    changed = recipes.load("mini", ["steps=7", "vae=somewhere", "full_captions=0"])
    assert isinstance(changed, HarmonRecipe)
    assert (changed.steps, changed.vae, changed.full_captions) == (7, "somewhere", 0.0)


def test_a_missing_vae_is_one_clear_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harmon_eval.model.train", "mini", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "mini-vae" in done.stderr
    assert "Traceback" not in done.stderr
