"""Pipelines of diffusers, on a small random Stable Diffusion with a sampler that draws noise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harmon_eval import cli, registry
from harmon_eval.adapters.diffusers import DiffusersResponder
from harmon_eval.core import Draw, Edit, Unscorable, UserError

REQUESTS = [Draw("a dog", 1), Draw("two cats left of a bench", 2), Draw("a dog", 3)]


def opened(folder: Path, extra: str = "", **given: float) -> DiffusersResponder:
    chosen = {"device": "cpu", "steps": 3, "image_size": 16, **given}
    model = registry.model(f"diffusers:{folder}{extra}", chosen)
    assert isinstance(model, DiffusersResponder)
    return model


def test_a_drawing_depends_on_its_prompt_and_seed_only(pipeline_folder: Path) -> None:
    model = opened(pipeline_folder)
    together = [np.asarray(image) for image in model.draw(REQUESTS)]
    assert [image.shape for image in together] == [(16, 16, 3)] * 3
    for order in ([2, 0, 1], [1]):
        for place, image in zip(order, model.draw([REQUESTS[i] for i in order]), strict=True):
            np.testing.assert_array_equal(np.asarray(image), together[place])
    assert not np.array_equal(together[0], together[2])


def test_the_recipe_is_in_the_settings_with_what_was_left_to_the_pipeline(
    pipeline_folder: Path,
) -> None:
    model = opened(pipeline_folder, "?negative_prompt=blurred", cfg=3.0)
    assert model.settings == {
        "pipeline": "StableDiffusionPipeline",
        "scheduler": "EulerAncestralDiscreteScheduler",
        "guidance_scale": 3.0,
        "num_inference_steps": 3,
        "height": 16,
        "width": 16,
        "negative_prompt": "blurred",
        "dtype": "float32",
    }
    own = registry.model(f"diffusers:{pipeline_folder}", {"device": "cpu"}).settings
    assert (own["guidance_scale"], own["num_inference_steps"]) == (7.5, 50)
    assert own["height"] == "the pipeline's own"
    plain, negative = opened(pipeline_folder, cfg=3.0).draw(REQUESTS), model.draw(REQUESTS)
    assert plain[0].tobytes() != negative[0].tobytes()


def test_an_image_that_a_safety_checker_withheld_is_unscored(
    pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(pipeline_folder)
    images = model.draw(REQUESTS)

    def withhold(self: object, *args: object, **kwargs: object) -> SimpleNamespace:
        return SimpleNamespace(images=images, nsfw_content_detected=[False, True, False])

    monkeypatch.setattr(type(model.pipeline), "__call__", withhold)
    first, second, third = model.draw(REQUESTS)
    assert isinstance(second, Unscorable) and "safety checker" in str(second)
    assert (first, third) == (images[0], images[2])


@pytest.mark.parametrize(
    ("extra", "given", "words"),
    [
        ("?guidance=3", {}, "diffusers has no setting 'guidance': known: cfg"),
        ("?step=3", {}, "did you mean 'steps'"),
        ("", {"temperature": 1.0}, "no setting 'temperature'"),
        ("", {"solver": "ddim"}, "no setting 'solver'"),
        ("", {"steps": 0}, "steps=0: give at least 1"),
        ("", {"image_size": "wide"}, "image_size=wide: give a whole number"),
        ("?steps=4", {}, "steps is given twice, as 4 in the name and as 3"),
        ("?dtype=float8", {}, "give float32 or"),
        ("/nothing-here", {}, "cannot be loaded as a pipeline"),
    ],
)
def test_what_cannot_be_used_is_named(
    pipeline_folder: Path, extra: str, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        opened(pipeline_folder, extra, **given)


def test_a_pipeline_that_draws_from_something_else_than_text_is_refused(
    pipeline_folder: Path,
) -> None:
    import diffusers

    text_to_image = diffusers.StableDiffusionPipeline.from_pretrained(pipeline_folder)
    unconditional = diffusers.DDIMPipeline(text_to_image.unet, diffusers.DDIMScheduler())
    with pytest.raises(UserError, match="DDIMPipeline takes no prompt"):
        DiffusersResponder("x", unconditional, {})


def test_the_adapters_file_does_not_hide_the_library(pipeline_folder: Path) -> None:
    model = registry.model(f"diffusers:{pipeline_folder}", {"device": "cpu"})
    assert type(model.pipeline).__module__.startswith("diffusers.")
    assert "diffusers" in registry.model_names()


def test_a_whole_run(pipeline_folder: Path, tmp_path: Path) -> None:
    options = ["--limit", "2", "--steps", "2", "--image-size", "16"]
    code = cli.main(
        [
            "--model",
            f"diffusers:{pipeline_folder}",
            "--tasks",
            "geneval",
            *options,
            "--output",
            str(tmp_path / "run"),
        ]
    )
    assert code == 0
    assert len(list((tmp_path / "run/geneval/images").rglob("*.png"))) == 8


def test_an_image_to_image_pipeline_edits_by_source_instruction_and_seed(
    pipeline_folder: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline
    from PIL import Image

    parts = opened(pipeline_folder).pipeline.components
    model = DiffusersResponder("i2i", StableDiffusionImg2ImgPipeline(**parts), {"steps": 4})
    assert model.can("edit") and not model.can("draw") and not model.can("ask")
    assert not opened(pipeline_folder).can("edit")
    for name, color in (("red", "red"), ("blue", "blue")):
        Image.new("RGB", (16, 16), color).save(tmp_path / f"{name}.png")
    red, blue = tmp_path / "red.png", tmp_path / "blue.png"
    edits = [
        Edit((red,), "a dog", seed=1),
        Edit((red,), "a dog", seed=2),
        Edit((blue,), "a dog", seed=1),
        Edit((red,), "two cats", seed=1),
    ]
    found = [np.asarray(image) for image in model.edit(edits)]
    assert all(image.shape == (16, 16, 3) for image in found)
    assert all(not np.array_equal(found[0], other) for other in found[1:])
    np.testing.assert_array_equal(np.asarray(model.edit(edits[:1])[0]), found[0])
    near = DiffusersResponder("i2i", model.pipeline, {"steps": 4, "strength": 0.3})
    assert near.settings["strength"] == 0.3 and model.settings["strength"] == 0.8
    assert not np.array_equal(np.asarray(near.edit(edits[:1])[0]), found[0])
    with pytest.raises(UserError, match="takes no strength: leave out strength"):
        opened(pipeline_folder, strength=0.3)
    (several,) = model.edit([Edit((red, blue), "join")])
    assert isinstance(several, Unscorable) and "one source image, not 2" in str(several)


def test_instruct_pix2pix_follows_both_of_its_scales(pipeline_folder: Path, tmp_path: Path) -> None:
    """Its network reads the source beside the noise, and the second scale pulls towards it."""
    import torch
    from diffusers import StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
    from PIL import Image

    parts = opened(pipeline_folder).pipeline.components
    torch.manual_seed(0)
    config = {**parts["unet"].config, "in_channels": 8}
    unet = UNet2DConditionModel.from_config(config)
    pipeline = StableDiffusionInstructPix2PixPipeline(**{**parts, "unet": unet})
    pipeline.save_pretrained(tmp_path / "pix2pix")
    source = tmp_path / "source.png"
    Image.new("RGB", (16, 16), "red").save(source)
    edit = Edit((source,), "make it blue", seed=3)

    def made(**given: float) -> tuple[DiffusersResponder, bytes]:
        chosen = {"device": "cpu", "steps": 2, **given}
        model = registry.model(f"diffusers:{tmp_path / 'pix2pix'}", chosen)
        assert isinstance(model, DiffusersResponder)
        (image,) = model.edit([edit])
        assert isinstance(image, Image.Image) and image.size == (16, 16)
        return model, image.tobytes()

    plain, result = made()
    assert plain.can("edit") and not plain.can("draw")
    assert plain.settings["image_guidance_scale"] == 1.5
    closer, other = made(image_cfg=3.0)
    assert closer.settings["image_guidance_scale"] == 3.0
    assert result == made()[1] != other
    with pytest.raises(UserError, match="takes no image_guidance_scale: leave out image_cfg"):
        opened(pipeline_folder, image_cfg=2.0)
