"""Editing on small models: the sampler in use against the plain one, batches, sources, refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from harmon_eval.adapters._harmon_settings import Settings
from harmon_eval.adapters.harmon import open_model
from harmon_eval.core import Ask, Draw, Edit, Unscorable
from harmon_eval.model import reference
from harmon_eval.model.fast import passes as fast_passes
from harmon_eval.model.fast.drawing import mar_iterations
from harmon_eval.model.fast.graphs import CapturedPasses
from harmon_eval.model.fast.passes import Passes, Sources
from harmon_eval.model.fast.rows import same_bits
from harmon_eval.model.harmon import IMAGE_PLACE, Harmon
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import REPEAT, Processor
from harmon_eval.model.sampling import DrawSettings, draw_orders_and_noise

GUIDED = DrawSettings(cfg_scale=3.0, iterations=4, diffusion_steps=100, image_size=64)
SETTINGS = {
    "guided": GUIDED,
    "unguided": replace(GUIDED, cfg_scale=1.0),
    "wide": replace(GUIDED, image_size=(48, 80), temperature=0.85),
    "source in the prompt alone": replace(GUIDED, edit_condition=False),
    "guided at times": replace(GUIDED, guidance=(0.25, 0.75)),
}
NUMBERS = [0, 1, 0]  # three results of two sources


def prompts(model: Harmon, count: int, settings: DrawSettings) -> tuple[Tensor, Tensor]:
    """Prompts of edits of different lengths, right-padded."""
    m, n = settings.grid(model)
    image = [5, 6, *[IMAGE_PLACE] * (m * n + model.config.mar.buffers), 7]
    rows = [[*image, 3 + i, *range(40, 40 + 5 * i)] for i in range(count)]
    if settings.cfg_scale != 1.0:
        rows += [[*image, 1, 2]] * count
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def latents_of(model: Harmon, settings: DrawSettings, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, *settings.grid(model), 16, generator=generator)


def edit(
    model: Harmon, settings: DrawSettings, seeds: Sequence[int], passes: Passes | None = None
) -> Tensor:
    grid = settings.grid(model)
    orders, noise = draw_orders_and_noise(seeds, grid, 16, settings, model.device)
    sources = Sources(latents_of(model, settings), NUMBERS[: len(seeds)])
    ready = (*prompts(model, len(seeds), settings), orders, noise, grid, settings, passes, sources)
    *_, last = mar_iterations(model, *ready)
    return last.tokens.unflatten(1, grid)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_fast_sampler_edits_as_the_plain_one_does(tiny: Harmon, settings: DrawSettings) -> None:
    grid = settings.grid(tiny)
    orders, noise = draw_orders_and_noise([5, 6, 7], grid, 16, settings, tiny.device)
    ids, mask = prompts(tiny, 3, settings)
    sources = latents_of(tiny, settings)[NUMBERS]
    plain = reference.draw(tiny, ids, mask, orders, noise, grid, settings, sources)
    assert (plain - edit(tiny, settings, [5, 6, 7])).abs().max() <= 3e-5
    other = reference.draw(tiny, ids, mask, orders, noise, grid, settings, sources.flip(1))
    assert (plain - other).abs().max() > 1e-2, "another source gives another result"


@pytest.mark.parametrize("name", ["guided", "unguided"])
def test_captured_passes_edit_alike_and_still_draw(tiny: Harmon, name: str) -> None:
    settings = SETTINGS[name]
    captured = CapturedPasses(tiny, settings, settings.grid(tiny))
    for seeds in ([1, 2], [3, 4], [5, 6], [7]):
        difference = edit(tiny, settings, seeds, captured) - edit(tiny, settings, seeds)
        assert difference.abs().max() <= 3e-5


def test_each_source_is_read_once_for_all_edits_of_it(
    tiny: Harmon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three results with guidance are six prompts of two sources: two pictures are encoded, and
    two runs of picture tokens pass through the LLM before the first iteration."""
    seen: list[tuple[int, int, int]] = []
    plain = fast_passes.prefill_shared

    def counted(llm: object, x: Tensor, beginnings: Sequence[int], shared: int) -> object:
        seen.append((len(x), len({*beginnings}), shared))
        return plain(llm, x, beginnings, shared)  # type: ignore[arg-type]

    monkeypatch.setattr(fast_passes, "prefill_shared", counted)
    edit(tiny, GUIDED, [1, 2, 3])
    ids, _ = prompts(tiny, 3, GUIDED)
    assert seen == [(6, 2, 2 + int((ids[0] == IMAGE_PLACE).sum()))]


def test_sources_of_another_grid_or_number_are_refused(tiny: Harmon) -> None:
    grid = GUIDED.grid(tiny)
    orders, noise = draw_orders_and_noise([1], grid, 16, GUIDED, tiny.device)
    ready = (tiny, *prompts(tiny, 1, GUIDED), orders, noise, grid, GUIDED, None)
    wide = latents_of(tiny, SETTINGS["wide"])
    with pytest.raises(ValueError, match=r"one grid of tokens, not \(3, 5\) and \(4, 4\)"):
        next(mar_iterations(*ready, Sources(wide, [0])))
    with pytest.raises(ValueError, match="2 sources for 1 images"):
        next(mar_iterations(*ready, Sources(latents_of(tiny, GUIDED), [0, 1])))


# -- pictures and instructions -------------------------------------------------------------------

FAST = DrawSettings(cfg_scale=2.0, iterations=3, diffusion_steps=4)


@pytest.fixture(scope="module")
def mini() -> HarmonPipeline:
    return HarmonPipeline.from_pretrained("harmon-mini")


def picture(seed: int, width: int = 64, height: int = 64) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def arrays(images: Sequence[Image.Image]) -> list[np.ndarray]:
    return [np.asarray(image) for image in images]


INSTRUCTIONS = [
    "the red circle",
    "a blue star left of a green square and a ring",
    "two stars",
    "star",
]


@pytest.mark.skipif(not same_bits(), reason="results depend on the batch on this machine")
@pytest.mark.parametrize("cfg", [2.0, 1.0])
def test_an_edit_is_the_same_in_any_batch(mini: HarmonPipeline, cfg: float) -> None:
    """With other sources, with the same one, in another order, alone, and with kept passes."""
    settings = replace(FAST, cfg_scale=cfg)
    first, second = picture(1), picture(2)
    sources, seeds = [first, second, first, second], [3, 4, 5, 6]
    whole = arrays(mini.edit(sources, INSTRUCTIONS, seeds, settings))
    passes = Passes(mini.model, settings, settings.grid(mini.model))
    for chosen in ([0], [1], [3], [2, 0], [3, 1, 2]):
        some = mini.edit(
            [sources[i] for i in chosen],
            [INSTRUCTIONS[i] for i in chosen],
            [seeds[i] for i in chosen],
            settings,
            passes,
        )
        for i, got in zip(chosen, arrays(some), strict=True):
            assert np.array_equal(got, whole[i]), f"edit {i} in the batch {chosen}"


def test_an_edit_depends_on_its_source_instruction_and_seed(mini: HarmonPipeline) -> None:
    first, second = picture(1), picture(2)
    asked = [
        (first, "a star", 1),
        (second, "a star", 1),
        (first, "a ring", 1),
        (first, "a star", 2),
    ]
    sources, instructions, seeds = zip(*asked, strict=True)
    got = arrays(mini.edit(sources, instructions, seeds, FAST))
    assert not any(np.array_equal(got[0], other) for other in got[1:])
    copy = arrays(mini.edit([first.copy()], ["  a star\n"], [1], FAST))[0]
    assert np.array_equal(got[0], copy), "an equal picture, and blanks around the instruction"


def test_a_source_is_cropped_at_the_centre_to_the_shape_of_the_result(mini: HarmonPipeline) -> None:
    wide = picture(1, width=97, height=64)
    centre = wide.crop((16, 0, 80, 64))
    edited = arrays(mini.edit([wide, centre], ["a star"] * 2, [1, 1], FAST))
    assert np.array_equal(*edited)
    tall = replace(FAST, image_size=(64, 32))
    (result,) = mini.edit([wide], ["a star"], [1], tall)
    assert result.size == (32, 64)
    assert Processor.centre_crop(wide, 64, 32).size == (32, 64)
    assert Processor.centre_crop(picture(1, 1, 300), 16, 64).size == (1, 1)


def test_what_cannot_be_edited_is_refused(mini: HarmonPipeline) -> None:
    assert mini.edit([], [], []) == []
    with pytest.raises(ValueError, match="1 sources, 2 instructions, 1 seeds"):
        mini.edit([picture(1)], ["a", "b"], [1])
    with pytest.raises(ValueError, match=r"\d+ tokens, more than the model's 1024: shorten"):
        mini.edit([picture(1)], ["star " * 1000], [1], FAST)


@pytest.mark.parametrize(
    ("sources", "instructions", "seeds", "said"),
    [
        ([picture(1)], "a", [1], "instructions must be a list, one for each image, not str"),
        (picture(1), ["a"], [1], "sources must be a list"),
        ([picture(1)], ["a"], 1, "seeds must be a list"),
        (["scene.png"], ["a"], [1], r"sources\[0\] is str: give a PIL image"),
        ([picture(1)], [None], [1], r"instructions\[0\] must be a text \(str\), not None"),
        ([picture(1)], [""], [1], r"instructions\[0\] is empty: say what to change"),
        ([picture(1)], [" \n"], [1], r"instructions\[0\] is empty"),
        ([picture(1)], ["a"], [None], r"seeds\[0\] must be a whole number \(int\), not None"),
        ([picture(1)], ["a"], [1.5], r"seeds\[0\] must be a whole number \(int\), not float 1.5"),
        ([picture(1)], ["a"], ["1"], r"seeds\[0\] must be a whole number \(int\), not str"),
        ([picture(1)], ["a"], [2**64], r"seeds\[0\] is 18446744073709551616: .* below 2\*\*64"),
        ([Image.new("I;16", (64, 64), 40000)], ["a"], [1], "mode I;16: scale its values to 8 bit"),
        ([Image.new("F", (64, 64), 0.5)], ["a"], [1], "mode F: scale its values to 8 bit"),
    ],
)
def test_wrong_arguments_are_named(
    mini: HarmonPipeline, sources: Any, instructions: Any, seeds: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        mini.edit(sources, instructions, seeds, FAST)


def test_the_sister_calls_name_wrong_arguments_too(mini: HarmonPipeline) -> None:
    settings: Any = {"cfg_scale": 2.0}
    for made in (
        lambda: mini.draw(["a star"], [1], settings),
        lambda: mini.edit([picture(1)], ["a star"], [1], settings),
    ):
        with pytest.raises(TypeError, match=r"settings must be DrawSettings, not dict: give Draw"):
            made()
    calls: list[tuple[Callable[[Any], Any], Any, str]] = [
        (lambda x: mini.draw(x, [1]), [None], r"prompts\[0\] must be a text"),
        (lambda x: mini.draw(["a"], x), [None], r"seeds\[0\] must be a whole number"),
        (lambda x: mini.draw(["a"], x), [True], r"seeds\[0\] must be a whole number"),
        (lambda x: mini.answer(x, ["a"]), ["scene.png"], r"images\[0\] is str: .* or None"),
        (lambda x: mini.answer([None], x), [None], r"questions\[0\] must be a text"),
        (lambda x: mini.answer([None], x), "why", "questions must be a list"),
        (lambda x: mini.answer([None], ["a"], x), 1.5, "max_new_tokens must be a whole number"),
        (lambda x: mini.answer([None], ["a"], x), [None], r"max_new_tokens\[0\] must be"),
        (lambda x: mini.logprobs([None], ["a"], x), ["yes"], r"options\[0\] must be a list"),
        (lambda x: mini.embed(x), [None], r"images\[0\] is None: give a PIL image"),
    ]
    for call, wrong, said in calls:
        with pytest.raises(TypeError, match=said):
            call(wrong)
    with pytest.raises(ValueError, match=r"prompts\[1\] is empty: say what to draw"):
        mini.draw(["a star", " "], [1, 2])
    drawn = mini.draw(["a star"], np.array([3]), FAST)  # type: ignore[arg-type]
    assert np.array_equal(*arrays([*drawn, *mini.draw(["a star"], [3], FAST)]))


def test_the_prompt_is_the_picture_a_line_and_the_instruction(mini: HarmonPipeline) -> None:
    processor = mini.processor
    ids = processor.edit_ids(" add a star ", 3)
    assert ids == processor.question_ids("add a star", 3)
    assert ids.count(IMAGE_PLACE) == 3
    assert processor.edit_ids(REPEAT, 3)[: ids.index(IMAGE_PLACE) + 3] == ids[: ids.index(-200) + 3]


def test_edits_may_have_a_guidance_scale_of_their_own(mini: HarmonPipeline) -> None:
    source, asked, seeds = [picture(1)], ["a star"], [1]
    own = arrays(mini.edit(source, asked, seeds, replace(FAST, cfg_scale=3.0, edit_cfg_scale=1.0)))
    plain = arrays(mini.edit(source, asked, seeds, replace(FAST, cfg_scale=1.0)))
    assert np.array_equal(own[0], plain[0])
    model = open_model("harmon-mini", Settings(device="cpu", edit_cfg=1.5))
    assert model.settings["edit_cfg_scale"] == 1.5
    assert model.settings["cfg_scale"] == 2.0
    assert open_model("harmon-mini", Settings(device="cpu")).settings["edit_cfg_scale"] == 1.0
    with pytest.raises(ValueError, match="edit_cfg"):
        Settings(edit_cfg=-1.0)


def test_the_harmon_adapter_edits_one_image_and_says_how(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for i, file in enumerate(files):
        picture(i, 80, 70).save(file)
    model = open_model("harmon-mini", Settings(device="cpu", steps=2, diffusion_steps=2))
    requests = [Edit((file,), "a star", seed=7) for file in files]
    got = model.edit(requests)
    alone = model.edit(requests[1:])
    assert [image.size for image in got if isinstance(image, Image.Image)] == [(64, 64)] * 2
    assert np.array_equal(*arrays([got[1], alone[0]]))  # type: ignore[list-item]
    assert model.about["editing"]["unconditional"] == REPEAT
    several, one = model.edit([Edit(tuple(files), "a star"), requests[1]])
    assert isinstance(several, Unscorable) and "edits one image, not 2" in str(several)
    assert np.array_equal(*arrays([one, alone[0]]))  # type: ignore[list-item]


def test_words_that_the_tokenizer_does_not_know_are_said_once(tmp_path: Path) -> None:
    """Drawing, editing and answering alike: they become the unknown word, which is no error."""
    picture(1).save(tmp_path / "1.png")
    given = Settings(device="cpu", steps=1, diffusion_steps=1)
    edit = Edit((tmp_path / "1.png",), "\u628a\u7ea2\u8272 the circle")
    ask = Ask("is there a zebra ?", (tmp_path / "1.png",), max_new_tokens=1)
    for verb, request, word in (
        ("draw", Draw("a zebra"), "zebra"),
        ("edit", edit, "\u628a\u7ea2\u8272"),
        ("ask", ask, "zebra"),
    ):
        model = open_model("harmon-mini", given)
        assert model.remarks() == []
        getattr(model, verb)([request])
        (said,) = model.remarks()
        assert "harmon-mini does not know every word" in said and repr(word) in said
        getattr(model, verb)([request])
        assert model.remarks() == []
    known = open_model("harmon-mini", given)
    known.draw([Draw("a photo of a red circle")])
    assert known.remarks() == []
