"""Drawing: one random stream a sample, no work done twice, and every setting within its bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from harmon_eval.model.fast.drawing import draw_latents, mar_iterations
from harmon_eval.model.harmon import Harmon
from harmon_eval.model.masking import hidden_counts
from harmon_eval.model.sampling import DrawSettings, draw_orders_and_noise

# A hundred diffusion steps keep this model's drawings of order one, so that 1e-5 means rounding.
QUICK = DrawSettings(cfg_scale=3.0, iterations=3, diffusion_steps=100, image_size=64)
UNCONDITIONAL = [1, 2]
# Lengths from 1 to 61 tokens: padding and prompt differ between batches as much as they can.
PROMPTS = [[3 + (7 * i + j) % 250 for j in range(1 + 60 * (i % 3) // 2)] for i in range(8)]
SEEDS = [0, 1, 2, 11, 2**31, 2**62, 2**63 - 1, 5]


def padded(rows: Sequence[Sequence[int]], width: int = 0) -> tuple[Tensor, Tensor]:
    width = max(width, *(len(row) for row in rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def draw(model: Harmon, samples: Sequence[int], how: DrawSettings = QUICK) -> Tensor:
    rows = [PROMPTS[i] for i in samples]
    if how.cfg_scale != 1.0:
        rows += [UNCONDITIONAL] * len(samples)
    return draw_latents(model, *padded(rows), [SEEDS[i] for i in samples], how)


SETTINGS = {
    "guided": QUICK,
    "unguided": replace(QUICK, cfg_scale=1.0),
    "linear": replace(QUICK, cfg_schedule="linear", temperature=0.9),
    "wide": replace(QUICK, image_size=(32, 80)),
    "more iterations than tokens": replace(QUICK, image_size=32, iterations=20),
}


def test_a_sample_depends_on_its_prompt_and_seed_only(tiny: Harmon) -> None:
    """Alone, in threes, all eight, and all eight shuffled."""
    alone = torch.cat([draw(tiny, [i]) for i in range(8)])
    threes = torch.cat([draw(tiny, part) for part in ([0, 1, 2], [3, 4, 5], [5, 6, 7])])
    together, order = draw(tiny, range(8)), [5, 2, 7, 0, 6, 3, 1, 4]
    shuffled = draw(tiny, order)
    assert 0.1 < alone.std() < 10
    assert (together - alone).abs().max() <= 1e-5
    assert (shuffled - alone[order]).abs().max() <= 1e-5
    assert (threes - alone[[0, 1, 2, 3, 4, 5, 5, 6, 7]]).abs().max() <= 1e-5


@pytest.mark.parametrize("how", SETTINGS.values(), ids=SETTINGS)
def test_so_it_is_in_every_setting(tiny: Harmon, how: DrawSettings) -> None:
    alone = torch.cat([draw(tiny, [i], how) for i in (2, 4)])
    together = draw(tiny, [4, 0, 2], how)
    assert (together[[2, 0]] - alone).abs().max() <= 1e-5


@settings(max_examples=15)
@given(st.permutations(range(8)), st.integers(1, 8))
def test_orders_and_noise_come_from_a_sample_s_seed_alone(order: list[int], size: int) -> None:
    def drawn(seeds: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        orders, noise = draw_orders_and_noise(seeds, (4, 4), 16, QUICK, torch.device("cpu"))
        parts = [torch.cat([noise_init[None], steps]) for noise_init, steps in map(noise, range(3))]
        return orders, [part.unflatten(1, (len(seeds), -1)) for part in parts]

    chosen = order[:size]
    orders, noise = drawn([SEEDS[i] for i in chosen])
    for row, i in enumerate(chosen):
        own_order, own_noise = drawn([SEEDS[i]])
        assert torch.equal(orders[row], own_order[0])
        for part, own in zip(noise, own_noise, strict=True):
            assert torch.equal(part[:, row], own[:, 0])


def test_seeds_and_prompts_matter(tiny: Harmon) -> None:
    ids, mask = padded([PROMPTS[1], UNCONDITIONAL])
    one, other = (draw_latents(tiny, ids, mask, [seed], QUICK) for seed in (1, 2))
    ids, mask = padded([PROMPTS[2], UNCONDITIONAL])
    another = draw_latents(tiny, ids, mask, [1], QUICK)
    assert (one - other).abs().max() > 0.1
    assert (one - another).abs().max() > 1e-3


def test_padding_changes_nothing(tiny: Harmon) -> None:
    rows = [PROMPTS[1], UNCONDITIONAL]
    plain = draw_latents(tiny, *padded(rows), [3], QUICK)
    wide = draw_latents(tiny, *padded(rows, width=90), [3], QUICK)
    assert (plain - wide).abs().max() <= 1e-5


def test_guidance_of_scale_one_is_the_conditional_model(tiny: Harmon) -> None:
    """At scales next to 1 the guided path, which runs both halves, meets the unguided one."""
    plain = draw(tiny, [1, 2], replace(QUICK, cfg_scale=1.0))
    near = draw(tiny, [1, 2], replace(QUICK, cfg_scale=1.0 + 1e-9))
    assert (plain - near).abs().max() <= 1e-5


def test_bounded_memory_changes_nothing(tiny: Harmon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modulations made for all steps at once, for a few, and for one."""
    whole = draw(tiny, [0, 1])
    for floats in (2**14, 1):
        monkeypatch.setattr("harmon_eval.model.fast.head.MODULATION_FLOATS", floats)
        assert (draw(tiny, [0, 1]) - whole).abs().max() <= 1e-5


def test_nothing_is_computed_twice(tiny: Harmon) -> None:
    """Both halves of guidance share the encoder; condition, time and prompt are embedded once."""
    rows: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    watched = {
        "encoder": tiny.mar.encoder_norm,
        "proj_in": tiny.proj_in,
        "cond_embed": tiny.head.cond_embed,
        "time_embed": tiny.head.time_embed,
        "prompt": tiny.llm.model.embed_tokens,
        "decoder": tiny.mar.decoder_norm,
    }

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[name] += 1
            rows[name] = max(rows[name], len(inputs[0]))

        return module.register_forward_pre_hook(count)

    handles = [watch(name, module) for name, module in watched.items()]
    draw(tiny, [0, 1, 2])
    for handle in handles:
        handle.remove()
    assert calls["encoder"] == calls["proj_in"] == calls["cond_embed"] == QUICK.iterations
    assert calls["time_embed"] == 1
    assert calls["prompt"] == 2, (
        "the conditional prompts, and the unconditional one for a whole run"
    )
    assert rows["encoder"] == rows["proj_in"] == 3
    assert rows["decoder"] == 6
    assert rows["prompt"] == 3


def test_tokens_stay_once_drawn_and_all_are_drawn(tiny: Harmon) -> None:
    orders, noise = draw_orders_and_noise([7], (4, 4), 16, QUICK, torch.device("cpu"))
    ids, mask = padded([PROMPTS[1], UNCONDITIONAL])
    before = torch.zeros(1, 16, 16)
    for step in mar_iterations(tiny, ids, mask, orders, noise, (4, 4), QUICK):
        changed = (step.tokens != before).any(-1)[0].nonzero()[:, 0]
        assert changed.tolist() == step.places[0].tolist()
        before = step.tokens
    assert bool((before != 0).all())


@given(st.integers(1, 400), st.integers(1, 100))
def test_the_schedule_hides_fewer_and_fewer_tokens(tokens: int, iterations: int) -> None:
    counts = hidden_counts(tokens, iterations)
    assert (counts[0], counts[-1], len(counts)) == (tokens, 0, iterations + 1)
    assert all(after < before or after == before == 1 for before, after in pairwise(counts))
    for k, count in enumerate(counts[1:-1]):
        assert count <= max(1, math.floor(tokens * math.cos(math.pi / 2 * (k + 1) / iterations)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iterations", 0),
        ("diffusion_steps", 0),
        ("diffusion_steps", 1001),
        ("cfg_scale", -1.0),
        ("cfg_scale", math.nan),
        ("temperature", -0.1),
        ("temperature", math.inf),
        ("cfg_schedule", "cosine"),
    ],
)
def test_impossible_settings_are_refused(field: str, value: float | str) -> None:
    with pytest.raises(ValueError, match=field.split("_")[0].replace("cfg", "CFG")):
        replace(QUICK, **{field: value})


@pytest.mark.parametrize("size", [70, (64, 65), 0, (0, 64), -64])
def test_image_sizes_follow_the_stride(tiny: Harmon, size: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 16 pixels"):
        replace(QUICK, image_size=size).grid(tiny)


def test_prompts_and_seeds_must_match(tiny: Harmon) -> None:
    ids, mask = padded([PROMPTS[0]])
    with pytest.raises(ValueError, match="need 2 prompts, not 1"):
        draw_latents(tiny, ids, mask, [1], QUICK)


def test_one_diffusion_step_and_one_token_are_enough(tiny: Harmon) -> None:
    least = replace(QUICK, iterations=1, diffusion_steps=1, image_size=16)
    assert draw(tiny, [0, 4], least).shape == (2, 1, 1, 16)
