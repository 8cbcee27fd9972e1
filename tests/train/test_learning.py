"""What learns, how fast and from what: the losses against the release, groups, rates, cycles."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import cycle as cycled
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harmon_eval.model.checkpoint import load
from harmon_eval.model.config import (
    HARMON_MINI,
    HarmonConfig,
    HeadConfig,
    LLMConfig,
    MARConfig,
    VAEConfig,
)
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.processor import Processor, build_word_tokenizer
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.train.batches import BatchMaker, MicroBatch, draw_mask, stratified_steps
from harmon_eval.model.train.export import export_checkpoint
from harmon_eval.model.train.faults import Alarm, Faults
from harmon_eval.model.train.loop import train_harmon
from harmon_eval.model.train.losses import Losses
from harmon_eval.model.train.muon import Muon
from harmon_eval.model.train.optimizers import freeze, optimizers, rate_factor, set_rates
from harmon_eval.model.train.recipe import (
    Optimizer,
    Recipe,
    RecipeError,
    Schedule,
    Source,
    TrainingError,
    cycle,
    samples_before,
)
from harmon_eval.model.train.run_folder import newest_state, read_history
from harmon_eval.model.train.schedule import learning_rate_factor
from harmon_eval.model.train.sources import open_rows
from harmon_eval.model.train.start import MINI_DRAWING, begin
from harmon_eval.suites.mini.language import DESCRIBE, VOCABULARY, article
from harmon_eval.suites.mini.scenes import COLORS, SHAPES, Item, Scene, render

SMALL = HarmonConfig(
    vae=VAEConfig(width=32, multipliers=(1, 1, 1, 1, 1), blocks=1, scale=1.0),
    mar=MARConfig(
        width=32, depth=1, heads=2, buffers=2, grid=4, classes=3, dropout=0.0, mask_ratio_min=0.3
    ),
    head=HeadConfig(width=32, depth=1, draws_per_token=4),
    llm=LLMConfig(
        vocab_size=120,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    ),
    image_size=64,
)


def maker(recipe: Recipe, tmp_path: Path, rank: int = 0, world: int = 1) -> BatchMaker:
    rows = [open_rows(source, recipe.seed) for source in recipe.sources]
    processor = Processor(build_word_tokenizer(VOCABULARY))
    faults = Faults(tmp_path / "skipped.jsonl", recipe.broken)
    return BatchMaker(recipe, SMALL, processor, rows, [None] * len(rows), faults, rank, world)


# -- losses ----------------------------------------------------------------------------------


def test_a_batch_in_parts_has_the_loss_of_the_whole(tiny: Recipe, tmp_path: Path) -> None:
    whole = maker(replace(tiny, sources=tiny.sources[:1]), tmp_path).make(0, 0, 0)
    model = Losses(Harmon(SMALL).eval())
    with torch.no_grad():
        parts = [model(whole.rows(i, i + 2)) for i in (0, 2)]
        assert float(sum(parts) / 2) == pytest.approx(float(model(whole)), rel=1e-5)


def test_processes_share_a_batch_without_overlap(tiny: Recipe, tmp_path: Path) -> None:
    """Together they hold the rows, masks and noise of the one process."""
    one = maker(tiny, tmp_path).make(0, 3, 1)
    two = [maker(tiny, tmp_path, rank, 2).make(0, 3, 1) for rank in (0, 1)]
    assert one.noise is not None and one.hidden is not None and one.pixels is not None
    for rank, part in enumerate(two):
        assert part.names == one.names[rank::2]
        assert part.noise is not None and part.hidden is not None and part.pixels is not None
        assert torch.equal(part.noise, one.noise[:, rank::2])
        assert torch.equal(part.hidden, one.hidden[rank::2])
        assert torch.equal(part.pixels, one.pixels[rank::2])


# -- the whole -------------------------------------------------------------------------------


def test_a_tiny_model_learns_eight_pictures_by_heart_and_frozen_parts_stay(
    tiny: Recipe, tmp_path: Path
) -> None:
    sources = tuple(replace(s, scenes=8, batch=8, repeat=1, turns=1) for s in tiny.sources[:2])
    recipe = replace(
        tiny,
        sources=sources,
        steps=100,
        unconditional=0.0,
        draws=2,
        stratified=True,
        optimizer=Optimizer("muon", 5e-3, 1e-2, ema=0.5, frozen=("proj_out",)),
        watch=replace(tiny.watch, log_every=10, save_every=0),
    )
    train_harmon(recipe, tmp_path)
    entries = read_history(tmp_path / "history.jsonl")
    assert entries[-1]["image2text"] < 0.5 * entries[0]["image2text"]
    assert entries[-1]["text2image"] < 0.8 * entries[0]["text2image"]

    before = begin(recipe).model.state_dict()
    state = newest_state(tmp_path)
    assert state is not None
    for name, tensor in before.items():
        same = torch.equal(tensor, state["model"][name])
        assert same == name.startswith(("vae.", "proj_out.")), name
    export_checkpoint(tmp_path, tmp_path / "model")
    loaded = load(str(tmp_path / "model"))
    assert loaded.training["steps"] == 100
    assert loaded.training["origins"]["mar"] == "fresh"
    assert loaded.draw_settings == MINI_DRAWING
    assert loaded.pipeline.draw(["a photo of a star"], [0], loaded.draw_settings)[0].size == (
        64,
        64,
    )


def test_a_tiny_model_overfits_eight_pictures_and_captions_and_draws_and_names_them(
    tiny: Recipe, tmp_path: Path
) -> None:
    """Each drawing is nearer to its own picture than to the seven others; each name is exact."""
    kinds = list(zip(cycled(SHAPES), list(COLORS)[:8], strict=False))
    pictures = [render(Scene((Item(shape, color, 32, 32, 11.0),))) for shape, color in kinds]
    listed = []
    for (shape, color), picture in zip(kinds, pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / f"{color}.png")
        caption = f"a photo of {article(f'{color} {shape}')}"
        listed.append({"image": f"{color}.png", "caption": caption})
    (tmp_path / "data_info.json").write_text(json.dumps(listed))
    drawn = Source(
        data="json",
        files=(str(tmp_path / "data_info.json"),),
        images=str(tmp_path),
        batch=8,
        crop="centre",
        cache=True,
    )
    seen = replace(drawn, task="image2text", questions=(DESCRIBE,), answer="{caption}")
    recipe = replace(
        tiny,
        sources=(drawn, seen),
        steps=180,
        draws=4,
        stratified=True,
        unconditional=0.0,
        start=replace(
            tiny.start,
            vae="harmon-mini",
            position_std=(0.7, 1.4, 0.35),
            mar_width=64,
            llm_width=64,
            head_width=128,
            head_depth=2,
        ),
        optimizer=Optimizer("muon", 5e-3, 1e-2, betas=(0.9, 0.98), ema=0.95),
        schedule=Schedule(warmup=0.05, constant=0.5, final=0.03),
        watch=replace(tiny.watch, log_every=50, save_every=0),
    )
    train_harmon(recipe, tmp_path / "run")
    export_checkpoint(tmp_path / "run", tmp_path / "model", torch.float32)
    pipeline = load(str(tmp_path / "model")).pipeline
    captions = [entry["caption"] for entry in listed]
    shown = [Image.fromarray(picture) for picture in pictures]
    assert pipeline.answer(shown, [DESCRIBE] * 8) == captions
    quick = DrawSettings(cfg_scale=1.0, iterations=4, diffusion_steps=10)
    drawings = np.stack([np.asarray(d) for d in pipeline.draw(captions, list(range(8)), quick)])
    differences = drawings[:, None].astype(float) - np.stack(pictures)[None]
    assert list(np.square(differences).mean((2, 3, 4)).argmin(axis=1)) == list(range(8))


@pytest.mark.parametrize("action", ["stop", "skip"])
def test_a_step_that_is_not_finite_is_never_taken(
    action: str, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its samples are written down; the run stops, or goes on without the step."""
    recipe = replace(tiny, steps=3, bad_step=action)
    noise = BatchMaker._noise

    def broken(self: BatchMaker, number: int, first: int, mine: range) -> tuple:
        hidden, t, values = noise(self, number, first, mine)
        return hidden, t, values * (float("nan") if first == 8 else 1.0)

    monkeypatch.setattr(BatchMaker, "_noise", broken)
    if action == "stop":
        with pytest.raises(TrainingError, match="step 2: the loss of text2image is nan"):
            train_harmon(recipe, tmp_path)
    else:
        train_harmon(recipe, tmp_path)
        state = newest_state(tmp_path)
        assert state is not None
        assert state["position"]["skipped"] == 1
        assert all(bool(t.isfinite().all()) for t in state["model"].values())
    bad = json.loads((tmp_path / "bad-step-2.json").read_text())
    assert len(bad["samples"]) == 12


def test_a_spike_is_measured_against_the_running_mean(tiny: Recipe) -> None:
    alarm = Alarm(replace(tiny, spike=3.0))
    for _ in range(20):
        assert alarm.trouble({"text": 1.0}) is None
    assert alarm.trouble({"text": 2.9}) is None
    assert "spike" in (alarm.trouble({"text": 4.0}) or "")


# -- groups and rates ------------------------------------------------------------------------


def test_decay_spares_vectors_biases_and_the_head() -> None:
    model = Harmon(SMALL)
    recipe = Optimizer(weight_decay=0.02, factors={"llm": 0.5, "llm.model.norm": 0.1})
    freeze(model, recipe)
    (adamw,) = optimizers(model, recipe)
    decay = {id(p): g["weight_decay"] for g in adamw.param_groups for p in g["params"]}
    rates = {id(p): g["base_rate"] for g in adamw.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        if name.startswith(("vae.", "mar.class_emb")):
            assert id(parameter) not in decay
            continue
        spared = parameter.ndim < 2 or name.startswith("head.")
        assert decay[id(parameter)] == (0.0 if spared else 0.02), name
        factor = 0.1 if name == "llm.model.norm.weight" else 0.5 if name.startswith("llm") else 1
        assert rates[id(parameter)] == pytest.approx(1e-5 * factor), name
    set_rates([adamw], 0.25)
    assert {g["lr"] for g in adamw.param_groups} == {g["base_rate"] / 4 for g in adamw.param_groups}


def test_muon_takes_the_hidden_matrices_only() -> None:
    model = Harmon(SMALL)
    recipe = Optimizer(name="muon", frozen=("head",))
    freeze(model, recipe)
    muon, adamw = optimizers(model, recipe)
    hidden = {id(p) for g in muon.param_groups for p in g["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in hidden}
    assert "mar.encoder_blocks.0.attn.qkv.weight" in names
    assert "proj_in.0.weight" in names
    assert not any("embed_tokens" in n or "pos_embed" in n or "bias" in n for n in names)
    rest = {id(p) for g in adamw.param_groups for p in g["params"]}
    assert hidden | rest == {id(p) for p in model.parameters() if p.requires_grad}
    assert not hidden & rest


def test_muon_steps_as_torchs_does_within_its_rounding() -> None:
    """torch's multiplies in bfloat16, which keeps 8 bits: a hundredth of a step."""
    torch.manual_seed(0)
    start, gradients = torch.randn(24, 40), torch.randn(3, 24, 40)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    steppers = (
        Muon([{"params": [ours]}], lr=0.1, weight_decay=0.02),
        torch.optim.Muon([theirs], lr=0.1, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
    )
    for gradient in gradients:
        for parameter, stepper in zip((ours, theirs), steppers, strict=True):
            parameter.grad = gradient.clone()
            stepper.step()
    assert float((ours - theirs).norm() / (ours - start).norm()) < 0.03


def test_the_decoder_alone_can_learn_as_in_harmon_1_5b_o() -> None:
    model = Harmon(SMALL)
    freeze(model, Optimizer(trained=("mar.decoder", "head")))
    learning = {
        n.split(".")[0] + "." + n.split(".")[1]
        for n, p in model.named_parameters()
        if p.requires_grad
    }
    assert all(n.startswith(("mar.decoder", "head.")) for n in learning)
    with pytest.raises(RecipeError, match=r"did you mean 'mar[.]decoder_blocks'"):
        freeze(model, Optimizer(frozen=("mar.decoder_blokcs",)))


def test_rate_at_the_first_step_the_end_of_warm_up_the_middle_and_the_last() -> None:
    """The release: linear from 1e-5 over 1 %, cosine to 0."""
    schedule = Schedule()

    def factor(step: float) -> float:
        return learning_rate_factor(step, 1000, schedule)

    assert factor(0) == pytest.approx(1e-5)
    assert factor(5) == pytest.approx(0.5, abs=1e-4)
    assert factor(10) == 1.0
    assert factor(505) == pytest.approx(0.5)
    assert factor(1000) == pytest.approx(0.0, abs=1e-12)
    held = Schedule(warmup=0.1, begin=0.0, constant=0.4, final=0.03)
    assert learning_rate_factor(400, 1000, held) == 1.0
    assert learning_rate_factor(700, 1000, held) == pytest.approx(0.03 + 0.97 / 2)
    assert rate_factor("llm.model.norm", {}) == 1.0


# -- cycle and draws -------------------------------------------------------------------------


def test_one_cycle_a_step_in_a_fixed_order() -> None:
    streams = (Source("text"), Source("image2text", repeat=3), Source(repeat=16, first_step=5))
    recipe = Recipe(sources=streams)
    assert cycle(recipe, 0) == [0, 1, 1, 1]
    assert cycle(recipe, 5) == [0, 1, 1, 1] + [2] * 16
    assert samples_before(recipe, 2, 7) == 2 * 16 * 32


def test_one_mask_ratio_a_batch_from_a_truncated_normal() -> None:
    rng = np.random.default_rng(0)
    orders = np.stack([np.arange(16)] * 3)
    counts = []
    for _ in range(500):
        hidden = draw_mask(HARMON_MINI.mar, rng, orders).sum(dim=1)
        assert len(set(hidden.tolist())) == 1
        counts.append(int(hidden[0]))
    assert min(counts) >= np.ceil(0.3 * 16)
    assert max(counts) == 16


def test_diffusion_steps_cover_the_schedule_evenly() -> None:
    steps = stratified_steps(1000, 1000, np.random.default_rng(0)).numpy()
    assert sorted(steps) == list(range(1000))
    assert list(steps) != sorted(steps)


def test_a_tenth_of_the_prompts_is_unconditional(tiny: Recipe, tmp_path: Path) -> None:
    source = replace(tiny.sources[0], batch=100, cache=False)
    made = maker(replace(tiny, sources=(source,), draws=1), tmp_path)
    plain = made.processor.unconditional_ids()

    def share(batch: MicroBatch) -> float:
        return sum(row[: len(plain)].tolist() == plain for row in batch.ids) / len(batch)

    shares = [share(made.make(0, step, 0)) for step in range(3)]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.06)  # two deviations of 300 draws: 0.035
