"""A fake model for tests and for measuring the harness itself: fixed answers, no network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from harmon_eval.core import Ask, Draw, Embed, Responder


def noise_image(request: Draw) -> Image.Image:
    pixels = np.random.default_rng(request.seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST)


class ScriptedResponder(Responder):
    """Answers by the given functions of one request; ``delay`` seconds a batch."""

    name = "scripted"
    fingerprint = "scripted-1"

    def __init__(
        self,
        draw: Callable[[Draw], Image.Image] = noise_image,
        ask: Callable[[Ask], str] = lambda request: "yes",
        embed: Callable[[Embed], np.ndarray] = lambda request: np.zeros(4, dtype=np.float32),
        delay: float = 0.0,
    ) -> None:
        self.functions = (draw, ask, embed)
        self.delay = delay

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image]:
        time.sleep(self.delay)
        return [self.functions[0](request) for request in requests]

    def ask(self, requests: Sequence[Ask]) -> Sequence[str]:
        time.sleep(self.delay)
        return [self.functions[1](request) for request in requests]

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray]:
        time.sleep(self.delay)
        return [self.functions[2](request) for request in requests]
