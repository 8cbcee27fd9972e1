"""``--fast`` takes the weights that were distilled to draw in less time, where a model has them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from harmon_eval.adapters.harmon import HarmonResponder, Settings, find_weights, open_model
from harmon_eval.core import Ask, Draw, UserError
from harmon_eval.model.checkpoint import BUNDLED, DISTILLED
from harmon_eval.model.sampling import FAST

MINI = BUNDLED / "harmon-mini"
PROMPT = Draw("a photo of a red circle", seed=1)


@pytest.fixture(scope="module")
def own() -> HarmonResponder:
    return open_model("harmon-mini", Settings())


@pytest.fixture(scope="module")
def distilled() -> HarmonResponder:
    return open_model("harmon-mini", Settings(fast=True))


def test_it_draws_in_one_pass_with_few_steps_and_says_with_which_weights(
    own: HarmonResponder, distilled: HarmonResponder
) -> None:
    settings = distilled.settings
    assert settings["weights"] == "fast" and "weights" not in own.settings
    assert (settings["cfg_scale"], settings["iterations"], settings["diffusion_steps"]) == (
        1,
        12,
        4,
    )
    assert distilled.name == own.name and distilled.fingerprint != own.fingerprint
    drawn = [np.asarray(model.draw([PROMPT])[0]) for model in (own, distilled)]
    assert drawn[0].shape == drawn[1].shape and (drawn[0] != drawn[1]).any()


def test_what_it_answers_is_what_the_model_answers(
    own: HarmonResponder, distilled: HarmonResponder, tmp_path: Path
) -> None:
    drawn = own.draw([PROMPT])[0]
    assert not isinstance(drawn, Exception)
    drawn.save(tmp_path / "drawn.png")
    questions = ["Is there a circle in the image?", "What color is the circle?"]
    asked = [Ask(question, images=(tmp_path / "drawn.png",)) for question in questions]
    assert distilled.ask(asked) == own.ask(asked)


def test_any_folder_may_hold_such_weights(own: HarmonResponder, tmp_path: Path) -> None:
    plain = tmp_path / "mine"
    shutil.copytree(MINI, plain, ignore=shutil.ignore_patterns(DISTILLED))
    model = open_model(str(plain), Settings(fast=True))
    assert model.draw_settings == FAST.than(own.draw_settings)  # the preset, with its own weights
    assert model.fingerprint == own.fingerprint
    shutil.copytree(MINI / DISTILLED, plain / DISTILLED)
    model = open_model(str(plain), Settings(fast=True, steps=8))
    assert (model.draw_settings.iterations, model.settings["weights"]) == (8, "fast")
    assert open_model(str(plain), Settings()).fingerprint == own.fingerprint


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("cfg", Settings(fast=True, cfg=3.0)),
        ("solver", Settings(fast=True, solver="ancestral")),
        ("cache", Settings(fast=True, cache=3)),
        ("guidance", Settings(fast=True, guidance=(0.0, 0.5))),
    ],
)
def test_what_it_was_distilled_for_cannot_be_changed(name: str, given: Settings) -> None:
    with pytest.raises(UserError, match=f"one way of drawing: leave out {name}, or fast"):
        open_model("harmon-mini", given)
    with pytest.raises(UserError, match="leave out"):  # before anything is opened
        find_weights("harmon-mini", given)
