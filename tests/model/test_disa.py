"""Faster sampling: DiSA (arXiv 2505.20297) against the recorded release, LazyMAR's condition cache
(arXiv 2503.12450), GtR's order (arXiv 2510.17171), adaptive guidance (arXiv 2312.12487) and
trailing steps (arXiv 2305.08891). Off, they change nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harmon_eval.model import reference as plain
from harmon_eval.model.diffusion import sampling_schedule
from harmon_eval.model.fast.drawing import cosines, mar_iterations
from harmon_eval.model.fast.graphs import CapturedPasses
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.masking import gtr_counts, gtr_stages
from harmon_eval.model.sampling import SPACINGS, DrawSettings, draw_orders_and_noise
from harmon_eval.model.solvers import SOLVERS
from tests.model.conftest import SHARED, Part, load_reference

FILE = Path(os.environ.get("DISA_FIXTURE") or SHARED / "disa_reference.pt")
if os.environ.get("DISA_FIXTURE") and not FILE.exists():
    raise FileNotFoundError(f"DISA_FIXTURE names {FILE}, which does not exist")
NAMES = list(load_reference(FILE).parts) if FILE.exists() else []
Got = Iterator[tuple[str, Any]]


def steps(ref: Part, strategy: str, upper_steps: int, lower_steps: int, iterations: int) -> Got:
    how = annealed(ref, strategy, upper_steps, lower_steps, iterations)
    nominal = [how.steps_at(k) for k in range(iterations)]
    yield "nominal", torch.tensor(nominal)
    calls = [len(how.schedule(count, ref.config.head).steps) for count in nominal]
    yield "network_calls", torch.tensor(calls)


def annealed(
    ref: Part, strategy: str, upper: int, lower: int, iterations: int, **other: Any
) -> DrawSettings:
    return DrawSettings(
        iterations=iterations,
        diffusion_steps=upper,
        annealing=strategy,
        final_steps=lower,
        last_step=ref.sizes.get("diffusion", {}).get("last_step", 950),
        **other,
    )


def schedule(ref: Part, steps: int) -> Got:
    how = DrawSettings(last_step=ref.sizes.get("diffusion", {}).get("last_step", 950))
    ours = how.schedule(steps, ref.config.head)
    variance = torch.as_tensor(ours.posterior_log_variance).exp()
    variance[0] = 0.0  # replaced by the second in the clipped logarithm
    yield "timestep_map", ours.steps
    yield "betas", ours.betas
    yield "alphas_cumprod", ours.alphas_cumprod
    yield "sqrt_recip_alphas_cumprod", ours.x0_factors("noise")[0]
    yield "sqrt_recipm1_alphas_cumprod", ours.x0_factors("noise")[1]
    yield "posterior_variance", variance
    yield "posterior_log_variance_clipped", ours.posterior_log_variance
    yield "posterior_mean_coef1", ours.posterior_mean_x0
    yield "posterior_mean_coef2", ours.posterior_mean_xt


def sample(
    ref: Part,
    strategy: str,
    upper_steps: int,
    lower_steps: int,
    input_ids: Tensor,
    attention_mask: Tensor,
    num_iter: int,
    cfg: float,
    cfg_schedule: str,
    temperature: float,
    grid: list[int],
    orders: Tensor,
    noise_init: list[Tensor],
    noise_steps: list[Tensor],
    steps_per_iteration: Sequence[int] = (),
    timestep_maps: Sequence[Tensor] = (),
) -> Got:
    other = {"cfg_scale": cfg, "cfg_schedule": cfg_schedule, "temperature": temperature}
    how = annealed(ref, strategy, upper_steps, lower_steps, num_iter, **other)
    counts = [how.steps_at(k) for k in range(num_iter)]
    assert not steps_per_iteration or counts == [int(n) for n in steps_per_iteration]
    for count, kept in zip(counts, timestep_maps, strict=bool(timestep_maps)):
        assert how.schedule(count, ref.config.head).steps.tolist() == list(map(int, kept))
    batch, shape = len(orders) // (1 if cfg == 1.0 else 2), (grid[0], grid[1])

    def noise(k: int) -> tuple[Tensor, Tensor]:
        return noise_init[k], noise_steps[k][:, : len(noise_init[k])]

    def both(x: Tensor) -> Tensor:
        return x.repeat(len(orders) // batch, *[1] * (x.dim() - 1))

    given = (ref.model, input_ids, attention_mask, orders[:batch], noise, shape, how)
    loop = list(mar_iterations(*given))
    blank = torch.zeros(batch, orders.shape[1])
    masks = [1.0 - blank.scatter(1, step.visible, 1.0) for step in loop]
    tokens = [torch.zeros_like(loop[0].tokens), *(step.tokens for step in loop)]
    yield "masks", torch.stack([both(mask) for mask in masks])
    yield "masked_count", torch.tensor([int(mask[0].sum()) for mask in masks])
    yield "predicted", torch.stack([both(blank.scatter(1, s.places, 1.0)) for s in loop]).bool()
    yield "tokens", torch.stack([both(x) for x in tokens])
    yield "x_enc", [step.x_enc for step in loop]
    yield "diffusion_condition", [s.z.flatten(0, 1) for s in loop]
    yield "cfg_per_iteration", torch.tensor([step.cfg_scale for step in loop])
    yield "sampled", [step.drawn.flatten(0, 1) for step in loop]
    yield "latents", both(tokens[-1].unflatten(1, shape))
    # The loop for readers draws the same.
    torch.testing.assert_close(
        plain.draw(*given), tokens[-1].unflatten(1, shape), rtol=1e-4, atol=1e-4
    )


KINDS: dict[str, Callable[..., Got]] = {"steps": steps, "schedule": schedule, "disa": sample}


@pytest.mark.skipif(not NAMES, reason="the recording of DiSA is not here")
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_disa_is_that_of_its_release(name: str) -> None:
    load_reference(FILE).part(name).compare(KINDS)


# -- on the model of the other recording --------------------------------------------------------

# From step 950, as few steps from 999 blow up rounding.
BASE = DrawSettings(iterations=12, diffusion_steps=9, image_size=96, last_step=950)
SETTINGS = {
    "annealed": replace(BASE, annealing="linear", final_steps=3),
    "annealed DDIM": replace(BASE, annealing="cosine", final_steps=3, solver="ddim"),
    "annealed DPM-Solver++": replace(
        BASE, annealing="linear", final_steps=3, solver="dpm-solver++"
    ),
    "gtr": replace(BASE, order="gtr"),
    "cache": replace(BASE, cache=3),
    "cache and half of the guidance": replace(BASE, cache=3, guidance=(0.5, 1.0)),
    "trailing": replace(BASE, spacing="trailing", solver="ddim"),
    # The conditions of the first image agree at once, those of the second later.
    "adaptive guidance": replace(BASE, adaptive_guidance=0.982),
    "adaptive guidance of a part": replace(BASE, adaptive_guidance=0.982, guidance=(0.25, 1.0)),
    "all": replace(
        BASE,
        annealing="two-stage",
        final_steps=2,
        order="gtr",
        cache=4,
        adaptive_guidance=0.982,
    ),
}


def drawn(model: Harmon, how: DrawSettings, seeds: list[int], reader: bool = False) -> Tensor:
    """Latents; ``reader``: of the loop for readers."""
    grid, count = how.grid(model), len(seeds)
    ids = torch.randint(3, 200, (1, 16), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([ids.repeat(count, 1), ids.flip(1).repeat(count, 1)])
    orders, noise = draw_orders_and_noise(seeds, grid, 16, how, model.device)
    given = (model, ids, torch.ones_like(ids), orders, noise, grid, how)
    if reader:
        return plain.draw(*given)
    return list(mar_iterations(*given))[-1].tokens.unflatten(1, grid)


@pytest.mark.parametrize("name", SETTINGS)
def test_disa_and_others_are_those_of_the_loop_for_readers(tiny: Harmon, name: str) -> None:
    ours, expected = (drawn(tiny, SETTINGS[name], [1, 2], reader) for reader in (False, True))
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(ours, drawn(tiny, BASE, [1, 2]), atol=1e-2), "it is another picture"


@pytest.mark.parametrize("name", SETTINGS)
def test_disa_and_others_do_not_depend_on_the_batch(tiny: Harmon, name: str) -> None:
    alone, among = (drawn(tiny, SETTINGS[name], seeds) for seeds in ([2], [1, 2]))
    torch.testing.assert_close(alone[0], among[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["annealed DDIM", "adaptive guidance"])
def test_captured_passes_draw_the_same(tiny: Harmon, name: str) -> None:
    """Without noise in DDIM's steps, their number shows in no shape of the inputs. Images stay in
    one batch when some need no guidance any more."""
    how = SETTINGS[name]
    passes, grid = CapturedPasses(tiny, how, how.grid(tiny)), how.grid(tiny)
    ids = torch.randint(3, 200, (1, 16), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([ids.repeat(2, 1), ids.flip(1).repeat(2, 1)])
    results = []
    for _ in range(3):
        orders, noise = draw_orders_and_noise([1, 2], grid, 16, how, tiny.device)
        loop = mar_iterations(tiny, ids, torch.ones_like(ids), orders, noise, grid, how, passes)
        results.append(list(loop)[-1].tokens)
    orders, noise = draw_orders_and_noise([1, 2], grid, 16, how, tiny.device)
    expected = list(mar_iterations(tiny, ids, torch.ones_like(ids), orders, noise, grid, how))
    for found in results:
        torch.testing.assert_close(found, expected[-1].tokens, rtol=1e-3, atol=1e-3)


def test_the_cache_computes_both_halves_in_five_iterations_and_every_ninth_after() -> None:
    how = DrawSettings(cache=9)
    full = [k for k in range(64) if how.computes_guidance(k)]
    assert full == [0, 1, 2, 3, 4, 5, 14, 23, 32, 41, 50, 59]
    assert all(DrawSettings().computes_guidance(k) for k in range(64))


def latents_and_scales(model: Harmon, how: DrawSettings) -> tuple[Tensor, list[int]]:
    """Two drawn images, and how many of them each iteration guided."""
    grid = how.grid(model)
    ids = torch.randint(3, 200, (1, 16), generator=torch.Generator().manual_seed(0))
    ids = torch.cat([ids.repeat(2, 1), ids.flip(1).repeat(2, 1)])
    orders, noise = draw_orders_and_noise([1, 2], grid, 16, how, model.device)
    loop = list(mar_iterations(model, ids, torch.ones_like(ids), orders, noise, grid, how))
    return loop[-1].tokens, [len(step.z) - 2 for step in loop]


def test_adaptive_guidance_guides_an_image_until_its_conditions_agree(tiny: Harmon) -> None:
    """Never if the cosine is never reached, exactly; once, if it always is."""
    always, guided = latents_and_scales(tiny, BASE)
    never, still = latents_and_scales(tiny, replace(BASE, adaptive_guidance=1.0))
    assert torch.equal(never, always) and still == guided == [2] * 12
    once, left = latents_and_scales(tiny, replace(BASE, adaptive_guidance=-1.0))
    first = replace(BASE, guidance=(0.0, 1 / 12))
    assert torch.equal(once, latents_and_scales(tiny, first)[0]) and left == [2] + [0] * 11
    _, some = latents_and_scales(tiny, replace(BASE, adaptive_guidance=0.982))
    assert some[0] == 2 and set(some) == {0, 1, 2} and some == sorted(some, reverse=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_whether_conditions_agree_does_not_depend_on_the_batch(threads: int) -> None:
    """Conditions so long that the sum over a single one is split between threads."""
    torch.manual_seed(0)
    (ours, theirs), before = torch.randn(2, 5, 64, 1024), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        alone = [cosines(ours[i : i + 1], theirs[i : i + 1]) for i in range(5)]
        assert torch.equal(torch.cat(alone), cosines(ours, theirs))
    finally:
        torch.set_num_threads(before)


def test_without_guidance_the_adaptive_one_changes_nothing(tiny: Harmon) -> None:
    how = replace(BASE, guidance=(0.0, 0.0))
    adaptive = replace(how, adaptive_guidance=0.982)
    assert torch.equal(*(latents_and_scales(tiny, each)[0] for each in (how, adaptive)))


def test_trailing_steps_end_their_parts_of_the_schedule() -> None:
    """Table 2 of arXiv 2305.08891: 10 of 1,000 are 100, 200 ... 1,000, counted from 1."""
    found = sampling_schedule(10, spacing="trailing").steps
    assert [int(step) + 1 for step in found] == list(range(100, 1001, 100))
    assert sampling_schedule(3, spacing="trailing").steps.tolist() == [332, 666, 999]
    assert sampling_schedule(1, spacing="trailing").steps.tolist() == [999]


@given(
    st.integers(1, 1000),
    st.none() | st.integers(1, 999),
    st.sampled_from(SPACINGS),
)
def test_steps_rise_within_the_schedule_and_each_adds_noise(
    steps: int, last: int | None, spacing: str
) -> None:
    """Also where there are more of them than steps of the schedule to start from."""
    found = sampling_schedule(steps, last_step=last, spacing=spacing)
    assert found.steps[0] >= 0 and (np.diff(found.steps) > 0).all()
    assert found.steps[-1] <= (999 if last is None else last)
    assert ((found.betas > 0) & (found.betas < 1)).all()
    assert np.isfinite(found.posterior_log_variance).all()


def test_gtr_draws_64_64_and_128_tokens_in_24_6_and_2_iterations() -> None:
    counts = gtr_counts((16, 16), 32)
    assert (counts[0], counts[24], counts[30], counts[32]) == (256, 192, 128, 0)
    taken = [a - b for a, b in pairwise(counts)]
    assert set(taken[:24]) == {2, 3} and set(taken[24:30]) == {10, 11} and taken[30:] == [64, 64]


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (8, 8), (1, 7)])
@pytest.mark.parametrize("iterations", [3, 8, 64])
def test_gtr_draws_every_place_once_and_one_stage_after_the_other(
    grid: tuple[int, int], iterations: int
) -> None:
    how = DrawSettings(iterations=iterations, order="gtr")
    orders, _ = draw_orders_and_noise([1, 2], grid, 16, how, torch.device("cpu"))
    assert torch.equal(orders.sort(dim=1).values, torch.arange(grid[0] * grid[1]).expand(2, -1))
    stages = gtr_stages(grid)[orders.flip(1)]  # in the order of drawing
    assert torch.equal(stages, stages.sort(dim=1).values)
    counts = how.counts(grid)
    assert len(counts) == iterations + 1 and counts[-1] == 0
    assert counts == sorted(counts, reverse=True)
    assert grid == (1, 7) or not torch.equal(orders[0], orders[1]), "the order within a stage"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"annealing": "linear"}, "give both"),
        ({"annealing": "slow", "final_steps": 5}, "one of linear"),
        ({"annealing": "linear", "final_steps": 101}, "1..100"),
        ({"last_step": 1000}, "1..999"),
        ({"order": "raster"}, "one of random"),
        ({"order": "gtr", "iterations": 2}, "at least 3"),
        ({"cache": -1}, "at least 0"),
        ({"spacing": "leading"}, "one of linspace"),
        ({"adaptive_guidance": 1.5}, "a cosine"),
    ],
)
def test_disa_and_others_refuse_what_they_cannot_do(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DrawSettings(**wrong)


@pytest.mark.parametrize("solver", SOLVERS)
def test_disa_with_one_iteration_takes_all_steps(solver: str) -> None:
    """The release divides by zero."""
    how = DrawSettings(iterations=1, annealing="linear", final_steps=5, solver=solver)
    assert how.steps_at(0) == how.diffusion_steps
