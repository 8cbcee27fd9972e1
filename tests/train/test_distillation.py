"""Faster models, taught by harmon-mini: guidance in one pass (arXiv 2210.03142), and a head of
three steps (arXiv 2202.00512)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harmon_eval.model.checkpoint import load as load_model
from harmon_eval.model.diffusion import add_noise, at_steps, sampling_schedule, training_schedule
from harmon_eval.model.fast.head import denoiser, step_embeddings
from harmon_eval.model.sampling import DrawSettings
from harmon_eval.model.solvers import ddim_steps
from harmon_eval.model.train.__main__ import main
from harmon_eval.model.train.batches import MicroBatch
from harmon_eval.model.train.distillation import Teacher, drawing_after, teacher_of
from harmon_eval.model.train.optimizers import freeze
from harmon_eval.model.train.plan import describe
from harmon_eval.model.train.reading import load
from harmon_eval.model.train.recipe import Distillation, Recipe, RecipeError
from harmon_eval.model.train.start import Started, begin


def recipe(name: str) -> Recipe:
    found = load(name)
    assert isinstance(found, Recipe)
    return found


@pytest.fixture(scope="module")
def started() -> Started:
    return begin(recipe("one-pass"))


def teacher(started: Started, distil: Distillation, scale: float = 2.0) -> Teacher:
    ids = torch.tensor([started.processor.unconditional_ids()])
    return Teacher(started.model, ids, DrawSettings(cfg_scale=scale), distil)


def batch(started: Started, steps: int | None = None) -> MicroBatch:
    """Two prompts with random latents, 6 and the same number of tokens hidden, 3 draws."""
    rng = torch.Generator().manual_seed(0)
    prompts = ["a photo of a red circle", "a photo of two blue stars"]
    ids, mask = started.processor.batch([started.processor.generation_ids(p) for p in prompts])
    hidden = torch.rand(2, 16, generator=rng).argsort(dim=1) < 6
    t = torch.randint(1000, (3, 2, 16), generator=rng)
    return MicroBatch(
        0,
        "text2image",
        ("a", "b"),
        ids,
        mask=mask,
        latents=torch.randn(2, 4, 4, 16, generator=rng),
        hidden=hidden,
        t=t if steps is None else torch.full_like(t, steps),
        noise=torch.randn(3, 2, 16, 16, generator=rng),
    )


def loss(teacher: Teacher, started: Started, given: MicroBatch) -> Tensor:
    assert given.latents is not None
    return teacher.loss(started.model, given, given.latents)


def rows(started: Started, given: MicroBatch) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """By hand: z with and without prompt, tokens, steps and noise of the hidden places, one draw
    after the other."""
    assert given.latents is not None and given.mask is not None and given.hidden is not None
    assert given.t is not None and given.noise is not None
    plain = torch.tensor([started.processor.unconditional_ids()] * 2)
    conditions, embed = [], started.model.llm.get_input_embeddings()
    for ids, mask in ((given.ids, given.mask), (plain, torch.ones_like(plain))):
        z = started.model.conditions(embed(ids), mask, given.latents, given.hidden)
        conditions.append(torch.cat([z[given.hidden]] * 3))
    tokens = torch.cat([given.latents.flatten(1, 2)[given.hidden]] * 3)
    t = torch.cat([draw[given.hidden] for draw in given.t])
    return conditions, tokens, t, torch.cat([draw[given.hidden] for draw in given.noise])


@torch.no_grad()
def test_a_model_without_guidance_has_nothing_to_learn_from_itself(started: Started) -> None:
    alone = teacher(started, Distillation(one_pass=True), scale=1.0)
    assert loss(alone, started, batch(started)) == 0
    same_steps = teacher(started, Distillation(steps=3, teacher_steps=1))
    assert loss(same_steps, started, batch(started)) < 1e-9


@torch.no_grad()
def test_one_pass_is_taught_the_guided_prediction(started: Started) -> None:
    """At first, the student lacks (scale - 1) times the difference of the two predictions."""
    given = batch(started)
    (z, z_plain), tokens, t, noise = rows(started, given)
    xt = add_noise(tokens, noise, t, training_schedule())
    with_prompt, without = (started.model.head(xt, t, each)[:, :16] for each in (z, z_plain))
    missing = 2.0 * (with_prompt - without)
    found = loss(teacher(started, Distillation(one_pass=True), 3.0), started, given)
    # The variance, half of the outputs, is right already.
    torch.testing.assert_close(found, missing.square().mean() / 2, rtol=1e-4, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("one_pass", [False, True])
def test_a_step_is_taught_to_lead_where_the_teachers_steps_lead(
    started: Started, one_pass: bool
) -> None:
    """One step in place of five: its x_0 is what DDIM draws in five, with guidance."""
    given = batch(started, 999)
    (z, z_plain), tokens, t, noise = rows(started, given)
    five = sampling_schedule(5, spacing="trailing")
    x, head = add_noise(tokens, noise, t, training_schedule()), started.model.head
    both = torch.cat([z, z_plain])
    denoise = denoiser(head, both, step_embeddings(head, five), 2.0, guided=True)
    *_, (drawn, _) = ddim_steps(denoise, x, five, "velocity")
    predicted = with_prompt = head(x, t, z)[:, :16]
    if not one_pass:
        without = head(x, t, z_plain)[:, :16]
        predicted = without + 2.0 * (with_prompt - without)
    kept = at_steps(training_schedule().alphas_cumprod, t)
    expected = (kept.sqrt() * x - (1 - kept).sqrt() * predicted - drawn).square().mean()
    taught = teacher(started, Distillation(one_pass=one_pass, steps=1, teacher_steps=5))
    torch.testing.assert_close(loss(taught, started, given), expected, rtol=1e-3, atol=1e-5)


def test_a_student_comes_closer_to_its_teacher() -> None:
    own = begin(recipe("fast-head"))
    taught, given = teacher(own, Distillation(steps=3)), batch(own)
    freeze(own.model, recipe("fast-head").optimizer)
    learning = [p for p in own.model.parameters() if p.requires_grad]
    stepper = torch.optim.Adam(learning, lr=1e-3)
    losses = []
    for _ in range(20):
        found = loss(taught, own, given)
        losses.append(float(found.detach()))
        stepper.zero_grad()
        found.backward()
        stepper.step()
    assert losses[-1] < losses[0] / 2
    assert all(p.grad is None for p in taught.model.parameters())


def test_only_what_draws_learns() -> None:
    head = describe(recipe("fast-head")).splitlines()
    trained = {line.split()[0]: line.split()[1] for line in head if "harmon-mini" in line}
    assert trained.pop("head") == "1,305,376" and {trained[p] for p in ("vae", "mar", "llm")} == {
        "0"
    }
    said = describe(recipe("one-pass"))
    assert "drawings learn from harmon-mini" in said
    llm = next(line for line in said.splitlines() if line.startswith("llm"))
    assert llm.split()[1] == "0"


SMALL = [
    "steps=2",
    "sources.0.scenes=8",
    "sources.0.batch=2",
    "watch.log_every=1",
    "optimizer.ema=0",
]


@pytest.mark.parametrize(
    ("name", "learns", "drawing"),
    [
        ("fast-head", ("head.",), {"cfg_scale": 2.0, "solver": "ddim", "diffusion_steps": 3}),
        (
            "one-pass",
            ("head.", "mar.decoder", "mar.mask_token", "mar.diffusion", "proj_out."),
            {"cfg_scale": 1.0, "edit_cfg_scale": 1.0, "solver": "ancestral"},
        ),
    ],
)
def test_a_training_from_the_command_to_pictures(
    tmp_path: Path, name: str, learns: tuple[str, ...], drawing: dict[str, Any]
) -> None:
    """The rest of the weights is the teacher's, to the bit: questions are answered as before."""
    run, folder = tmp_path / "run", tmp_path / "model"
    assert main([name, "--output", str(run), "--set", *SMALL]) == 0
    assert main(["export", str(run), str(folder), "--dtype", "float32"]) == 0
    old, new = load_model("harmon-mini"), load_model(str(folder))
    state = new.pipeline.model.state_dict()
    changed = {
        key
        for key, weight in old.pipeline.model.state_dict().items()
        if not torch.equal(weight, state[key])
    }
    assert changed and all(key.startswith(learns) for key in changed)
    assert all(getattr(new.draw_settings, key) == value for key, value in drawing.items())
    assert new.draw_settings.spacing == ("trailing" if name == "fast-head" else "linspace")
    (image,) = new.pipeline.draw(["a photo of a red circle"], [0], new.draw_settings)
    assert np.asarray(image).shape == (64, 64, 3)


@pytest.mark.parametrize(("prediction", "start"), [("noise", 950), ("velocity", None)])
def test_a_student_draws_from_where_it_was_taught_in_as_many_steps_everywhere(
    prediction: str, start: int | None
) -> None:
    """Whatever the steps of its teacher fall to."""
    own = DrawSettings(diffusion_steps=30, annealing="linear", final_steps=5)
    found = drawing_after(own, Distillation(steps=3), prediction)
    assert [found.steps_at(k) for k in (0, 30, 63)] == [3, 3, 3]
    assert found.last_step == start
    assert drawing_after(replace(own, last_step=900), Distillation(steps=3), prediction) == (
        replace(found, last_step=900)
    )


def test_what_cannot_be_taught_is_said(started: Started) -> None:
    one_pass = recipe("one-pass")
    for drawing, says in (
        (replace(started.drawing, cfg_scale=1.0), "without guidance already"),
        (replace(started.drawing, guidance=(0.0, 0.5)), "one CFG scale"),
    ):
        with pytest.raises(RecipeError, match=says):
            teacher_of(one_pass, replace(started, drawing=drawing))
    many = replace(recipe("fast-head"), distil=Distillation(steps=300, teacher_steps=4))
    with pytest.raises(RecipeError, match="more than the 1000 of its schedule"):
        teacher_of(many, started)
    assert teacher_of(recipe("mini-128"), started) is None
    with pytest.raises(RecipeError, match=r"needs a teacher: set start\.checkpoint"):
        load("one-pass", ["start.checkpoint="])
    with pytest.raises(RecipeError, match="teacher_steps at least 1"):
        load("fast-head", ["distil.teacher_steps=0"])
