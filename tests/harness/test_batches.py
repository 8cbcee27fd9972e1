"""On a CPU in float32, what the bundled model gives does not depend on the batch, to the last bit.

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
from harmon_eval.model.fast.rows import by_rows, one_by_one

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


@pytest.mark.parametrize("kind", ["draw", "draw without guidance", "ask", "embed"])
def test_a_response_is_the_same_in_a_batch_of_any_size(
    mini: Responder, pictures: list[Path], kind: str
) -> None:
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
        assert all(np.array_equal(*pair) for pair in zip(given, together, strict=True)), size


def test_on_a_cpu_rows_are_filled_to_whole_blocks_and_pictures_go_one_by_one() -> None:
    sizes: list[int] = []

    def seen(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return 2 * x

    x = torch.ones(5, 3, 2)
    with torch.no_grad():
        assert torch.equal(by_rows(seen, x), 2 * x) and sizes.pop() == 16
        by_rows(seen, x[:4])
        assert sizes.pop() == 4, "nothing is filled where rows make whole blocks"
        by_rows(seen, x.to("meta"))
        assert sizes.pop() == 5
    by_rows(seen, x.requires_grad_())
    assert sizes.pop() == 5, "training is left as it is"
    one_by_one(seen, torch.zeros(3, 1))
    one_by_one(seen, torch.zeros(3, 1, device="meta"))
    assert sizes == [1, 1, 1, 3]
