"""``--fast`` takes the weights that were distilled to draw in less time, where a model has them."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harmon_eval import registry
from harmon_eval.adapters._harmon_settings import Settings
from harmon_eval.adapters.harmon import HarmonResponder, find_weights, open_model
from harmon_eval.core import Ask, Draw, UserError
from harmon_eval.model.checkpoint import BUNDLED, DISTILLED
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.sampling import FAST, DrawSettings
from harmon_eval.model.weights import WEIGHTS, to_authors

MINI = BUNDLED / "harmon-mini"
PROMPT = Draw("a photo of a red circle", seed=1)


@pytest.fixture(scope="module")
def own() -> HarmonResponder:
    return open_model("harmon-mini", Settings())


@pytest.fixture(scope="module")
def distilled() -> HarmonResponder:
    return open_model("harmon-mini", Settings(fast=True))


def test_it_draws_in_one_pass_with_falling_steps_and_says_with_which_weights(
    own: HarmonResponder, distilled: HarmonResponder
) -> None:
    settings = distilled.settings
    assert settings["weights"] == "fast" and "weights" not in own.settings
    assert (settings["cfg_scale"], settings["iterations"]) == (1, 12)
    assert (settings["diffusion_steps"], settings["final_steps"]) == (30, 5)
    assert distilled.name == f"{own.name}/fast"  # other weights have another name in every table
    assert distilled.fingerprint != own.fingerprint
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


def test_any_folder_may_hold_such_weights(
    own: HarmonResponder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = tmp_path / "mine"
    shutil.copytree(MINI, plain, ignore=shutil.ignore_patterns(DISTILLED))
    model = open_model(str(plain), Settings(fast=True))
    assert model.draw_settings == FAST.than(own.draw_settings)  # the preset, with its own weights
    assert model.fingerprint == own.fingerprint
    (said,) = caplog.messages  # nobody takes the preset for distilled weights
    assert "mine has no distilled weights" in said and "12 iterations, not 16" in said
    caplog.clear()
    shutil.copytree(MINI / DISTILLED, plain / DISTILLED)
    model = open_model(str(plain), Settings(fast=True, steps=8))
    assert (model.draw_settings.iterations, model.settings["weights"]) == (8, "fast")
    assert open_model(str(plain), Settings()).fingerprint == own.fingerprint
    assert not caplog.messages


@pytest.mark.parametrize("place", ["mine/", "mine/model.safetensors", "mine/authors.pth"])
def test_a_file_has_its_distilled_weights_beside_it(
    place: str,
    own: HarmonResponder,
    distilled: HarmonResponder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(MINI, "mine")
    if place.endswith(".pth"):
        for name in (WEIGHTS, "config.json"):
            Path("mine", name).unlink()
        weights, vae = to_authors(own.pipeline.model)
        torch.save(weights, place)
        torch.save({"model": vae}, "mine/kl16.ckpt")
    assert open_model(place, Settings()).name == place.rstrip("/")  # DIR/ resumes a run of DIR
    given = Settings(fast=True)
    find_weights(place, given)
    model = open_model(place, given)
    assert (model.name, model.fingerprint) == ("mine/fast", distilled.fingerprint)
    with pytest.raises(UserError, match="leave out cfg, or fast"):
        find_weights(place, replace(given, cfg=3.0))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("cfg", Settings(fast=True, cfg=3.0)),
        ("solver", Settings(fast=True, solver="ancestral")),
        ("cache", Settings(fast=True, cache=3)),
        ("guidance", Settings(fast=True, guidance=(0.0, 0.5))),
        ("edit_cfg", Settings(fast=True, edit_cfg=3.0)),
        ("max_beta", Settings(fast=True, max_beta=0.2)),
    ],
)
def test_what_it_was_distilled_for_cannot_be_changed(name: str, given: Settings) -> None:
    with pytest.raises(UserError, match=f"one way of drawing: leave out {name}, or fast"):
        open_model("harmon-mini", given)
    with pytest.raises(UserError, match="leave out"):  # before anything is opened
        find_weights("harmon-mini", given)


# What may lie in a model's folder under the name ``fast``, beside distilled weights that are whole.
def dangling(folder: Path) -> None:
    folder.symlink_to("nowhere")


def file(folder: Path) -> None:
    folder.write_text("fast")


def taught(folder: Path) -> Path:
    shutil.copytree(MINI / DISTILLED, folder)
    return folder


def truncated(folder: Path) -> None:
    os.truncate(taught(folder) / WEIGHTS, 1_000_000)


def pointer(folder: Path) -> None:
    (taught(folder) / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid 1\n")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (taught(folder) / name).unlink()


def smaller(folder: Path) -> None:
    file = taught(folder) / "config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"image_size": 32, "mar": values["mar"] | {"heads": 4}}))


@pytest.mark.parametrize(
    ("put", "says"),
    [
        (Path.mkdir, "fast holds no weights"),
        (file, "fast is no folder with distilled weights"),
        (dangling, "fast is no folder with distilled weights"),
        (truncated, "is truncated: 1,000,000 of"),
        (pointer, "is a Git LFS pointer"),
        (without(WEIGHTS), "fast holds no weights"),
        (without("tokenizer.json"), r"fast has no tokenizer\.json of ours"),
        (without("config.json"), r"fast has no config\.json of ours"),
        (without("generation_config.json"), r"fast has no generation_config\.json of ours"),
        (smaller, r"fast is no form of .*: it differs in mar\.heads, image_size"),
    ],
)
def test_a_folder_fast_that_is_no_such_model_is_refused_and_not_passed_over(
    put: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    model = tmp_path / "mine"
    shutil.copytree(MINI, model, ignore=shutil.ignore_patterns(DISTILLED))
    put(model / DISTILLED)
    for opened in (find_weights, open_model):  # the first for --dry-run
        with pytest.raises(UserError, match=rf"{says}.*; or leave out fast") as raised:
            opened(str(model), Settings(fast=True))
        assert "\n" not in str(raised.value)
    find_weights(str(model), Settings())


def test_weights_distilled_from_another_model_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "mine"
    shutil.copytree(MINI, model)
    weights = load_file(model / WEIGHTS)
    weights["llm.model.norm.weight"] *= 1.01  # as any further training would
    save_file(weights, model / WEIGHTS)
    with pytest.raises(UserError, match=r"not made from .*: their llm\.model\.norm\.weight differ"):
        open_model(str(model), Settings(fast=True))


def test_distilled_weights_of_other_sizes_beside_a_file_are_refused(
    own: HarmonResponder, tmp_path: Path
) -> None:
    """Nothing says the sizes of a ``.pth`` before it is read."""
    shutil.copytree(MINI / DISTILLED, tmp_path / DISTILLED)
    weights, vae = to_authors(own.pipeline.model)
    weights["llm.model.norm.weight"] = torch.ones(8)
    torch.save(weights, tmp_path / "other.pth")
    torch.save({"model": vae}, tmp_path / "kl16.ckpt")
    with pytest.raises(UserError, match=r"not made from .*: their llm\.model\.norm\.weight differ"):
        open_model(str(tmp_path / "other.pth"), Settings(fast=True))


def test_a_link_to_distilled_weights_and_weights_in_another_format_are_taken(
    distilled: HarmonResponder, tmp_path: Path
) -> None:
    model = tmp_path / "mine"
    shutil.copytree(MINI, model, ignore=shutil.ignore_patterns(DISTILLED))
    (model / DISTILLED).symlink_to(MINI / DISTILLED)
    weights = {name: tensor.float() for name, tensor in load_file(MINI / WEIGHTS).items()}
    save_file(weights, model / WEIGHTS)
    assert open_model(str(model), Settings(fast=True)).fingerprint == distilled.fingerprint


@pytest.mark.parametrize("name", ["harmon", "harmon-mini", "harmon:harmon-mini"])
def test_every_name_of_the_bundled_model_finds_its_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert registry.check_model(name, {"fast": True})
    with pytest.raises(UserError, match="leave out cfg, or fast"):
        registry.check_model(name, {"fast": True, "cfg": 3.0})


def test_the_name_of_a_run_is_no_model_and_says_what_is() -> None:
    for opened in (find_weights, open_model):
        with pytest.raises(UserError, match=r"fast is what runs .*: give harmon-mini and"):
            opened("harmon-mini/fast", Settings())


def test_from_python_a_model_draws_as_its_folder_says(tmp_path: Path) -> None:
    """A model distilled to draw in one pass must not be guided because nobody gave settings."""
    quick = DrawSettings(cfg_scale=1.0, iterations=2, diffusion_steps=2, solver="ddim")
    HarmonPipeline.from_pretrained("harmon-mini").save_pretrained(tmp_path / "mine", quick)
    pipeline = HarmonPipeline.from_pretrained(str(tmp_path / "mine"))
    drawn = [pipeline.draw(["a red circle"], [0], *given)[0] for given in ((), (quick,))]
    assert drawn[0].tobytes() == drawn[1].tobytes()
    edits = [pipeline.edit(drawn[:1], ["remove it"], [0], *given)[0] for given in ((), (quick,))]
    assert edits[0].tobytes() == edits[1].tobytes()
    pipeline.save_pretrained(tmp_path / "again")
    assert HarmonPipeline.from_pretrained(str(tmp_path / "again")).drawing == quick
    fast = HarmonPipeline.from_pretrained("harmon-mini", fast=True)
    assert (fast.drawing.cfg_scale, fast.drawing.diffusion_steps) == (1, 30)
    own = HarmonPipeline.from_pretrained("harmon-mini").drawing
    HarmonPipeline.from_pretrained("harmon-mini").save_pretrained(tmp_path / "slow")
    fast = HarmonPipeline.from_pretrained(str(tmp_path / "slow"), fast=True)
    assert fast.drawing == FAST.than(own)  # without distilled weights, as --fast draws
