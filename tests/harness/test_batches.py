"""On a CPU in float32, what the bundled model gives does not depend on the batch: to the last bit
where the processor and its library allow it (``same_bits``), else to rounding.

Prompts, questions and pictures of different lengths share a batch; the last batch is smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harmon_eval import registry
from harmon_eval.core import Ask, Draw, Embed, Responder
from harmon_eval.model.fast import rows
from harmon_eval.model.fast.rows import RowBlock, by_rows, one_by_one, same_bits

PROMPTS = ("a red circle", "a blue square above a green circle on a white background", "red")
QUESTIONS = ("Is there a red circle in the picture?", "How many?", "What is the colour of it?")
OPTIONS = {"device": "cpu", "steps": 2, "diffusion_steps": 2}


@pytest.fixture(scope="module")
def mini() -> Responder:
    return registry.model("harmon-mini", OPTIONS)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    files = [folder / f"{i}.png" for i in range(18)]
    for i, file in enumerate(files):
        noise = rng.integers(0, 256, (64, 64 + i, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
    return files


def in_batches(
    give: Callable[[Sequence[Any]], Sequence[Any]], requests: Sequence[Any], size: int
) -> list[Any]:
    parts = [requests[i : i + size] for i in range(0, len(requests), size)]
    return [response for part in parts for response in give(part)]


def close(one: Any, other: Any) -> bool:
    """Equal but for rounding: pixels by two levels at most, features by a thousandth."""
    if isinstance(one, Image.Image):
        return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max()) <= 2
    return np.allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["draw", "draw without guidance", "ask", "embed"])
def test_a_response_is_the_same_in_a_batch_of_any_size(
    mini: Responder, pictures: list[Path], kind: str
) -> None:
    same: Callable[[Any, Any], bool] = np.array_equal if same_bits() else close
    if kind == "ask" and not same_bits():
        pytest.skip("products differ with the batch on this processor, so a close reply may flip")
    draws = [Draw(PROMPTS[i % 3], seed=i) for i in range(5)]
    # PyTorch changes its convolutions at sixteen pictures.
    embeds = [Embed(file) for file in pictures]
    asks = [
        Ask(QUESTIONS[i % 3], (file,) if i % 4 else (), 4 + i)
        for i, file in enumerate(pictures[:7])
    ]
    give: Callable[[Any], Sequence[Any]] = getattr(mini, kind.split()[0])
    if "without" in kind:
        give = registry.model("harmon-mini", {**OPTIONS, "cfg": 1.0}).draw
    requests: Sequence[Any] = {"ask": asks, "embed": embeds}.get(kind, draws)
    together = give(requests)
    for size in (1, 2, 3, 5):
        given = in_batches(give, requests, size)
        assert all(same(*pair) for pair in zip(given, together, strict=True)), size


def test_on_a_cpu_rows_are_filled_to_whole_blocks_and_pictures_go_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def seen(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x.flatten(0, -2)))
        return 2 * x

    x = torch.ones(5, 3, 2)
    blocks = {RowBlock(1): [15], RowBlock(4): [16], RowBlock(8, fixed=True): [8, 8], None: [15]}
    for block, expected in blocks.items():
        monkeypatch.setattr(rows, "row_block", lambda block=block: block)
        with torch.no_grad():
            assert torch.equal(by_rows(seen, x), 2 * x)
        assert sizes == expected, block
        sizes.clear()
    monkeypatch.setattr(rows, "row_block", lambda: RowBlock(4))
    with torch.no_grad():
        by_rows(seen, x[:4])
        assert sizes.pop() == 12, "nothing is filled where rows make whole blocks"
        by_rows(seen, x.to("meta"))
        assert sizes.pop() == 15
    by_rows(seen, x.requires_grad_())
    assert sizes.pop() == 15, "training is left as it is"
    one_by_one(seen, torch.zeros(3, 1))
    one_by_one(seen, torch.zeros(3, 1, device="meta"))
    assert sizes == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (lambda rows: 0 * rows, RowBlock(4)),
        (lambda rows: (rows < 4) + 0 * rows, RowBlock(4)),
        (lambda rows: rows % 16, RowBlock(16)),
        (lambda rows: rows, RowBlock(64, fixed=True)),
        (lambda rows: torch.rand(()), None),
    ],
    ids=["nothing", "few rows", "whole blocks", "any number", "chance"],
)
def test_what_holds_is_found_by_measuring(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[int], Any], found: RowBlock | None
) -> None:
    """Products whose error goes by the number of rows."""
    monkeypatch.setattr(rows.F, "linear", lambda x, weight, bias: x + error(len(x)))
    assert rows._row_block.__wrapped__(1) == found


@pytest.mark.parametrize(
    ("mode", "threads", "mkl", "promised"),
    [
        ("AVX2,STRICT", 2, True, True),
        ("OFF", 2, True, False),
        (None, 2, True, False),
        (None, 1, True, True),
        (None, 2, False, True),
    ],
)
def test_on_several_threads_mkl_promises_equal_bits_in_its_reproducible_mode_only(
    monkeypatch: pytest.MonkeyPatch, mode: str | None, threads: int, mkl: bool, promised: bool
) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    if mode is not None:
        monkeypatch.setenv("MKL_CBWR", mode)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(rows, "row_block", lambda: RowBlock(4))
    monkeypatch.setattr(rows, "_attention_holds", lambda _: True)
    assert same_bits() is promised


def test_a_model_s_layers_all_go_by_rows(mini: Any) -> None:
    names = {type(m).__module__ + "." + type(m).__name__ for m in mini.pipeline.model.modules()}
    ours = {name for name in names if "Linear" in name or "SiLU" in name}
    assert ours == {f"{rows.__name__}.Linear", f"{rows.__name__}.SiLU"}


def test_silu_does_not_depend_on_rows_or_threads() -> None:
    x = torch.randn(132, 424, generator=torch.Generator().manual_seed(0))
    before, given = torch.get_num_threads(), []
    try:
        with torch.no_grad():
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                given += [rows.SiLU()(x)[:80], rows.SiLU()(x[:80].clone())]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, given[0]) for one in given)
