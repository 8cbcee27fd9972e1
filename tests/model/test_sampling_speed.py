"""What makes drawing and answering fast changes no result: against a plain sampler, one by one."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harmon_eval.model import reference
from harmon_eval.model.diffusion import Schedule, sampling_schedule
from harmon_eval.model.fast.drawing import draw_latents, mar_iterations
from harmon_eval.model.fast.graphs import Captured, CapturedPasses
from harmon_eval.model.fast.head import denoiser, step_embeddings
from harmon_eval.model.fast.llm import KeysAndValues
from harmon_eval.model.fast.mar import decode_at
from harmon_eval.model.fast.passes import Passes
from harmon_eval.model.fast.replies import generate, shared_beginning
from harmon_eval.model.fast.rows import LANES, fill_rows, same_bits
from harmon_eval.model.harmon import IMAGE_PLACE, Harmon
from harmon_eval.model.llm import grouped_attention
from harmon_eval.model.pipeline import HarmonPipeline, length_buckets
from harmon_eval.model.sampling import ORDERS, SPACINGS, DrawSettings, draw_orders_and_noise
from harmon_eval.model.solvers import SOLVERS, ddim_steps, dpm_solver_steps

GUIDED = DrawSettings(cfg_scale=3.0, iterations=4, diffusion_steps=100, image_size=64)
SETTINGS = {
    "guided": GUIDED,
    "unguided": replace(GUIDED, cfg_scale=1.0),
    "linear": replace(GUIDED, cfg_schedule="linear", temperature=0.9),
    "wide": replace(GUIDED, image_size=(48, 80)),
    "more iterations than tokens": replace(GUIDED, image_size=32, iterations=9),
    "guided at times": replace(GUIDED, guidance=(0.25, 0.75)),
}


def prompts(batch: int, settings: DrawSettings) -> tuple[Tensor, Tensor]:
    """Of different lengths, right-padded."""
    rows = [[3 + i, *range(40, 40 + 5 * i)] for i in range(batch)]
    if settings.cfg_scale != 1.0:
        rows += [[1, 2]] * batch
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def draw(
    model: Harmon, settings: DrawSettings, seeds: Sequence[int], passes: Passes | None = None
) -> Tensor:
    grid = settings.grid(model)
    orders, noise = draw_orders_and_noise(seeds, grid, 16, settings, model.device)
    ready = (*prompts(len(seeds), settings), orders, noise, grid, settings, passes)
    *_, last = mar_iterations(model, *ready)
    return last.tokens.unflatten(1, grid)


# -- exact savings ---------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_fast_sampler_draws_what_the_plain_one_does(
    tiny: Harmon, settings: DrawSettings
) -> None:
    grid = settings.grid(tiny)
    orders, noise = draw_orders_and_noise([5, 6, 7], grid, 16, settings, tiny.device)
    ids, mask = prompts(3, settings)
    plain = reference.draw(tiny, ids, mask, orders, noise, grid, settings)
    fast = draw(tiny, settings, [5, 6, 7])
    assert (plain - fast).abs().max() <= 3e-5
    with torch.inference_mode():
        assert (tiny.vae.decode(fast) - tiny.vae.decode(plain)).abs().max() <= 3e-4


@settings(max_examples=10, deadline=None)
@given(
    st.builds(
        replace,
        st.just(DrawSettings(diffusion_steps=6, last_step=950)),
        cfg_scale=st.sampled_from([0.0, 1.0, 3.0]),
        iterations=st.integers(3, 7),
        image_size=st.sampled_from([16, (16, 48), (48, 32), 80]),
        solver=st.sampled_from(SOLVERS),
        spacing=st.sampled_from(SPACINGS),
        order=st.sampled_from(ORDERS),
        cache=st.integers(0, 2),
        adaptive_guidance=st.none() | st.just(0.98),
        guidance=st.sampled_from([(0.0, 1.0), (0.3, 0.8)]),
    ),
    st.sampled_from(["noise", "velocity"]),
    st.integers(1, 6),
)
def test_in_any_settings_an_image_is_the_plain_loops_and_the_same_in_any_batch(
    tiny: Harmon, how: DrawSettings, prediction: str, size: int
) -> None:
    """To the last bit where rows are filled, as in every pipeline. Weights stay as they are."""
    head = replace(tiny.config.head, prediction=prediction)
    model = copy.deepcopy(tiny)
    model.config, model.head.config = replace(model.config, head=head), head
    fill_rows(model)
    seeds, grid = range(size), how.grid(model)
    orders, noise = draw_orders_and_noise(seeds, grid, 16, how, model.device)
    ids, mask = (F.pad(part, (0, -part.shape[1] % LANES)) for part in prompts(size, how))
    plain = reference.draw(model, ids, mask, orders, noise, grid, how)
    rows = [i * size for i in range(len(ids) // size)]
    together = draw_latents(model, ids, mask, seeds, how)
    assert (plain - together).abs().max() <= 1e-4 * max(1.0, float(plain.std()))
    for i, seed in enumerate(seeds):
        own = [row + i for row in rows]
        alone = draw_latents(model, ids[own], mask[own], [seed], how)[0]
        assert torch.equal(alone, together[i]) or not same_bits()
        assert (alone - together[i]).abs().max() <= 1e-4 * max(1.0, float(plain.std()))
    before = tiny.state_dict()
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float64, 1e-4), (torch.float16, 0.1), (torch.bfloat16, 0.5)]
)
def test_every_type_of_number_draws_what_float32_does(
    tiny: Harmon, dtype: torch.dtype, most: float
) -> None:
    how = replace(GUIDED, diffusion_steps=12, last_step=950)
    model, expected = copy.deepcopy(tiny).to(dtype), draw(tiny, how, [1, 2])
    grid = how.grid(model)
    orders, noise = draw_orders_and_noise([1, 2], grid, 16, how, model.device)
    plain = reference.draw(model, *prompts(2, how), orders, noise, grid, how)
    for drawn in (draw(model, how, [1, 2]), plain):
        assert drawn.dtype == torch.float32
        assert (drawn - expected).abs().max() <= most * expected.std()


@pytest.mark.parametrize("name", ["linear", "unguided"])
def test_captured_passes_pad_and_reuse_buffers_without_a_trace(tiny: Harmon, name: str) -> None:
    """Three batches of one shape (plain, captured, replayed), then one of another."""
    settings = SETTINGS[name]
    captured = CapturedPasses(tiny, settings, settings.grid(tiny))
    for seeds in ([1, 2], [3, 4], [5, 6], [7]):
        difference = draw(tiny, settings, seeds, captured) - draw(tiny, settings, seeds)
        assert difference.abs().max() <= 3e-5


@pytest.mark.parametrize("rows", [1, 3, 4, 20])
def test_the_head_in_few_operations_predicts_what_its_layers_do(tiny: Harmon, rows: int) -> None:
    """Whether the rows are whole blocks of this processor or not."""
    head, schedule = tiny.head, GUIDED.schedule(7, tiny.config.head)
    torch.manual_seed(0)
    x, z = torch.randn(rows, 16), torch.randn(rows, tiny.config.mar.width)
    with torch.inference_mode():
        denoise = denoiser(head, z, step_embeddings(head, schedule), 1.0, guided=False)
        for i in reversed(range(7)):
            t = torch.full((rows,), int(schedule.steps[i]))
            assert (torch.cat(denoise(x, i), dim=1) - head(x, t, z)).abs().max() <= 1e-5


def test_the_unconditional_prompt_is_computed_once_for_all_drawings(tiny: Harmon) -> None:
    """Kept passes draw what new ones do, and hold the one prompt that all rows share."""
    passes = Passes(tiny, GUIDED, (4, 4))
    first = draw(tiny, GUIDED, [1, 2], passes)
    (held,) = passes.unconditional.values()
    second = draw(tiny, GUIDED, [3], passes)
    assert list(passes.unconditional) == [(1, 2)] and passes.unconditional[1, 2] is held
    for seeds, drawn in (([1, 2], first), ([3], second)):
        assert torch.equal(drawn, draw(tiny, GUIDED, seeds))


def test_what_a_captured_function_gives_is_not_overwritten() -> None:
    double = Captured(lambda x: (2 * x,))
    results = [double(torch.full((3,), float(i)))[0] for i in range(4)]
    assert [result.tolist() for result in results] == [[2.0 * i] * 3 for i in range(4)]
    assert len(double.graphs) == 1
    double(torch.ones(5))
    assert len(double.graphs) == 1, "a shape that comes once is not captured"


@given(st.integers(1, 3000))
def test_captured_rows_are_padded_to_few_sizes(tiny: Harmon, rows: int) -> None:
    passes = CapturedPasses(tiny, GUIDED, (4, 4))
    size = passes.head_rows(rows, copies=2)
    assert rows <= size < max(rows + 64, 9)
    assert passes.head_rows(size, copies=2) == size


def test_the_last_decoder_block_at_some_places_is_the_whole_one_there(tiny: Harmon) -> None:
    torch.manual_seed(0)
    visible, places = torch.tensor([[0, 5], [3, 9]]), torch.tensor([[1, 2, 15], [0, 4, 8]])
    x, positions = torch.randn(2, 8 + 2, tiny.config.mar.width), tiny.mar.positions((4, 4))
    with torch.no_grad():
        whole = tiny.mar.decode(x, visible, positions)
        some = decode_at(tiny.mar, x, visible, positions, places)
    expected = whole.gather(1, places[..., None].expand_as(some))
    assert torch.allclose(some, expected, atol=1e-5)


@pytest.mark.parametrize(("heads", "tokens"), [(6, 5), (2, 5), (2, 1), (3, 1)])
def test_shared_keys_are_read_as_if_repeated(heads: int, tokens: int) -> None:
    """Causal, with a mask, and a single token; groups of one, two and three queries."""
    torch.manual_seed(0)
    queries = torch.randn(2, 6, tokens, 8)
    keys, values = torch.randn(2, 2, heads, tokens, 8)
    mask = torch.zeros(2, 1, tokens, tokens)
    mask[1, :, :, -1] = -torch.inf if tokens > 1 else 0.0
    repeated = [part.repeat_interleave(6 // heads, dim=1) for part in (keys, values)]
    for added, causal in ((None, tokens > 1), (mask, False)):
        got = grouped_attention(queries, keys, values, added)
        expected = F.scaled_dot_product_attention(queries, *repeated, added, is_causal=causal)
        assert torch.allclose(got, expected, atol=1e-6)


def test_a_cache_that_is_full_grows_and_keeps_what_it_holds() -> None:
    held = KeysAndValues(torch.randn(1, 2, 2, 1, 3, 4))
    before = held.held.clone()
    held.grow()
    keys, values = held.add(0, torch.ones(2, 1, 1, 4), torch.zeros(2, 1, 1, 4))
    assert torch.equal(torch.stack([keys, values])[..., :3, :], before[0])
    assert bool((keys[..., 3, :] == 1).all()) and bool((values[..., 3, :] == 0).all())
    assert torch.equal(held.rows(slice(1)).held[..., :3, :], before[:, :, :1])


def test_answering_and_drawing_warn_of_nothing(tiny: Harmon) -> None:
    """transformers renames what it is given from version to version."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tiny, replace(GUIDED, iterations=2, diffusion_steps=2), [1])
        generate(tiny, torch.tensor([[3, 4]]), torch.ones(1, 2), None, 3, frozenset())


# -- bought speed ----------------------------------------------------------------------------

SCHEDULE = sampling_schedule(50)


def of_a_gaussian(std: float, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """What DDIM and DPM-Solver++ draw from noise when the data are normal of this std, where the
    best prediction is known; the exact solution of the flow is std * noise."""
    keep = torch.as_tensor(schedule.alphas_cumprod)

    def noise_in(x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        variance = keep[i] * std**2 + 1 - keep[i]
        return (1 - keep[i]).sqrt() / variance * x, torch.zeros_like(x)

    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    *_, (ddim, _) = ddim_steps(noise_in, x, schedule)
    *_, (dpm, _) = dpm_solver_steps(noise_in, x, schedule)
    return ddim / x.where(x != 0, torch.nan), dpm / x.where(x != 0, torch.nan)


@pytest.mark.parametrize("std", [0.25, 0.5, 2.0])
def test_solvers_follow_the_flow_of_a_gaussian(std: float) -> None:
    errors = {}
    for steps in (50, 100, 400):
        ddim, dpm = of_a_gaussian(std, sampling_schedule(steps))
        errors[steps] = [float((s - std).nanmean().abs()) for s in (ddim, dpm)]
    assert errors[400][0] < errors[50][0] / 4
    assert errors[400][1] < 0.02 * std
    assert all(dpm < ddim for ddim, dpm in errors.values()), errors


def test_solvers_find_a_single_point_whatever_the_steps() -> None:
    """With one possible picture the best prediction is exact, and so is every solver."""
    point = torch.tensor([[0.7, -1.2]], dtype=torch.float64)
    for steps in (1, 2, 5, 50):
        schedule = sampling_schedule(steps)
        keep = torch.as_tensor(schedule.alphas_cumprod)

        def noise_in(x: Tensor, i: int, keep: Tensor = keep) -> tuple[Tensor, Tensor]:
            return (x - keep[i].sqrt() * point) / (1 - keep[i]).sqrt(), x

        for solver in (ddim_steps, dpm_solver_steps):
            *_, (drawn, _) = solver(noise_in, torch.randn(4, 2, dtype=torch.float64), schedule)
            assert torch.allclose(drawn, point.expand(4, -1), atol=1e-6)


def test_guidance_in_a_part_of_the_iterations(tiny: Harmon) -> None:
    """All of them is the default; none is the conditional model; the others run half the rows."""
    part, none = replace(GUIDED, guidance=(0.25, 0.75)), replace(GUIDED, guidance=(0.0, 0.0))
    assert [part.guided(k) for k in range(4)] == [False, True, True, False]
    unguided = draw(tiny, replace(GUIDED, cfg_scale=1.0), [1])
    assert (draw(tiny, none, [1]) - unguided).abs().max() <= 3e-5
    orders, noise = draw_orders_and_noise([1], (4, 4), 16, part, tiny.device)
    loop = mar_iterations(tiny, *prompts(1, part), orders, noise, (4, 4), part)
    assert [len(step.z) for step in loop] == [1, 2, 2, 1]
    assert (draw(tiny, part, [1]) - unguided).abs().max() > 1e-3


def test_solvers_need_no_noise_but_the_first(tiny: Harmon) -> None:
    # Predicted noise would multiply rounding by 20,000 at the first step.
    tiny = copy.deepcopy(tiny)
    tiny.head.config = replace(tiny.head.config, prediction="velocity")
    for solver in ("ddim", "dpm-solver++"):
        quick = replace(GUIDED, solver=solver, diffusion_steps=10)
        _, noise = draw_orders_and_noise([1, 2], (4, 4), 16, quick, tiny.device)
        assert noise(0)[1].shape[0] == 0
        together, alone = draw(tiny, quick, [1, 2]), draw(tiny, quick, [1])
        assert (together[0] - alone[0]).abs().max() <= 3e-5


@pytest.mark.parametrize(
    "wrong",
    [
        {"solver": "euler"},
        {"guidance": (0.5, 0.2)},
        {"guidance": (0.0, 1.5)},
        {"solver": "ddim", "temperature": 0.9},
    ],
)
def test_impossible_bought_speed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"solver|guidance|ddim"):
        DrawSettings(**wrong)


# -- answering -------------------------------------------------------------------------------


def test_eight_questions_at_once_get_the_replies_of_one_by_one(tiny: Harmon) -> None:
    """Different lengths, budgets and pictures, one picture asked about twice; rows that stop leave
    the batch and change nothing."""
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(7, 2, 2, 16, generator=generator)
    places = [IMAGE_PLACE] * (4 + 8)
    rows = [[9, *places, *range(20, 21 + 3 * i)] for i in range(8)]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[2] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    budgets, pictures = [1, 0, 9, 3, 12, 5, 2, 7], [0, 1, 2, 3, 4, 5, 6, 2]
    free = generate(tiny, ids, mask, latents, 12, frozenset(), pictures)
    stop = frozenset({free[4][6]})
    together = generate(tiny, ids, mask, latents, budgets, stop, pictures)
    for i, row in enumerate(rows):
        own = (torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long))
        alone = generate(tiny, *own, latents[pictures[i]][None], budgets[i], stop)
        assert alone == [together[i]]
        assert len(together[i]) <= budgets[i]


def test_what_questions_about_one_picture_share_is_read_once(tiny: Harmon) -> None:
    generator = torch.Generator().manual_seed(4)
    latents = torch.randn(2, 2, 2, 16, generator=generator)
    ids = torch.tensor([[9, *[IMAGE_PLACE] * 12, 20 + i, 30, 31] for i in range(5)])
    mask, pictures = torch.ones_like(ids), [0, 1, 0, 0, 1]
    mask[2, -2:] = 0
    read: list[int] = []
    hook = tiny.llm.model.layers[0].input_layernorm.register_forward_hook(
        lambda _, inputs, __: read.append(inputs[0].shape[:2].numel())
    )
    together = generate(tiny, ids, mask, latents, 3, frozenset(), pictures)
    hook.remove()
    assert read[:2] == [2 * 13, 5 * 3]
    for i, picture in enumerate(pictures):
        row, own = ids[i : i + 1, : int(mask[i].sum())], latents[picture][None]
        assert generate(tiny, row, torch.ones_like(row), own, 3, frozenset()) == [together[i]]
    # Nothing is shared where the words before the picture differ.
    ids[3, 0] = 8
    assert shared_beginning(ids, mask, pictures) == 0
    assert len(generate(tiny, ids, mask, latents, 3, frozenset(), pictures)) == 5


@given(st.lists(st.integers(1, 2000), max_size=40))
def test_buckets_hold_every_question_once_with_little_padding(lengths: list[int]) -> None:
    buckets = length_buckets(range(len(lengths)), lengths)
    assert sorted(i for bucket in buckets for i in bucket) == list(range(len(lengths)))
    for bucket in buckets:
        chosen = [lengths[i] for i in bucket]
        assert 4 * max(chosen) <= 5 * min(chosen)


def test_a_reply_does_not_depend_on_its_batch() -> None:
    """The bundled model through the pipeline: batch 1 = batch 8, with and without pictures."""
    from PIL import Image

    pipeline = HarmonPipeline.from_pretrained("harmon-mini")
    red, blue = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    images = [red, None, blue, red, None, blue, red, blue]
    questions = ["what is it?", "is red a color?", "what color is the circle in the picture?"] * 3
    budgets = [1, 2, 3, 4, 5, 6, 7, 8]
    together = pipeline.answer(images, questions[:8], budgets)
    for i, reply in enumerate(together):
        assert pipeline.answer([images[i]], [questions[i]], budgets[i]) == [reply]
