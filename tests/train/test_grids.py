"""A model with another grid of tokens: `mini-128` starts from harmon-mini with 8 x 8 of them."""

from dataclasses import replace

import numpy as np
import torch

from harmon_eval.model.checkpoint import load as load_model
from harmon_eval.model.train.plan import describe
from harmon_eval.model.train.reading import load
from harmon_eval.model.train.recipe import Recipe, Source, Start
from harmon_eval.model.train.scenes import SceneRows, split_scene
from harmon_eval.model.train.start import begin
from harmon_eval.suites.mini import scenes


def recipe() -> Recipe:
    found = load("mini-128")
    assert isinstance(found, Recipe)
    return found


def test_the_recipe_says_the_size_of_its_pictures() -> None:
    said = describe(recipe())
    assert "32 images of 128 px, at least 2,304 tokens a step" in said


def test_at_first_another_grid_draws_what_the_old_model_draws_in_that_size() -> None:
    """The position tables are resized as they are where a model draws in another size."""
    old, new = load_model("harmon-mini"), begin(recipe())
    assert new.model.config.image_size == 128 and new.drawing.iterations == 32
    assert new.model.mar.encoder_pos_embed_learned.shape == (1, 8 + 64, 160)
    how = replace(old.draw_settings, iterations=4, diffusion_steps=4)
    prompts = ["a photo of a red circle"]
    expected = old.pipeline.draw(prompts, [1], replace(how, image_size=128))
    pipeline = replace(old.pipeline, model=new.model.eval())
    assert np.array_equal(pipeline.draw(prompts, [1], how)[0], expected[0])


def test_a_fresh_model_can_have_another_grid(vae: str) -> None:
    started = begin(Recipe(start=Start(vae=str(vae), grid=6, iterations=9, position_std=(1, 1, 1))))
    assert started.model.config.image_size == 96 and started.drawing.iterations == 9
    latents = torch.zeros(1, 6, 6, 16)
    assert started.model.see_all(latents).shape[1] == 6 * 6 + started.model.config.mar.buffers


def test_scenes_are_rendered_in_the_size_of_the_pictures() -> None:
    """Not enlarged: edges are as sharp as in the small ones."""
    rows = SceneRows(Source("text2image", scenes=2), 0, 128)
    shown = rows.row(1, np.random.default_rng(0)).picture
    assert shown is not None
    assert np.array_equal(np.asarray(shown()), scenes.render(split_scene(0, "train", 1), 128))
