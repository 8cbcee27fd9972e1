"""The clients that docs/serve.md shows, as they stand there, against a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from harmon_eval.suites.mini.scenes import Scene, render
from harmon_eval.tasks.geneval import prompts

from .servers import Running, circle

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text()


@pytest.fixture
def clients(mini: Running) -> dict[str, Any]:
    """Both functions, asking the server of the tests."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    assert code.count("http://127.0.0.1:8080") == 2
    found: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:8080", mini.url), found)
    return found


def image(*colors: str) -> Image.Image:
    items = (circle(color, 16 + 32 * place) for place, color in enumerate(colors))
    return Image.fromarray(np.asarray(render(Scene(tuple(items)))))


def test_the_reward_function_for_trl(clients: dict[str, Any]) -> None:
    reward = clients["geneval_reward"]
    texts = ["a photo of a circle", "a photo of a square", "what nobody knows"]
    images = [image("red")] * 3
    assert reward(prompts=texts, completions=images, trainer_state=None) == [1.0, 0.0, None]
    asked = [prompts.counting("circle", 2)] * 2
    found = reward(["two circles"] * 2, [image("red"), image("red", "blue")], metadata=asked)
    assert found == [0.5, 1.0]


def test_the_reward_for_flow_factory(clients: dict[str, Any]) -> None:
    reward = clients["flow_factory_reward"]
    assert reward(["a photo of a circle"] * 2, [image("red"), image()]) == [1.0, 0.0]
    assert reward(["two circles"], [image("red")], [prompts.counting("circle", 2)]) == [0.5]
    with pytest.raises(httpx2.HTTPStatusError, match="400"):
        reward(["what nobody knows"], [image("red")])
