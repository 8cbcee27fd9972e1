"""A fake model, for tests and for measuring the harness itself: fixed answers, no network."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image

from harmon_eval.core import Ask, Draw, Embed, ModelOptions, Responder, UserError

SIDE = 64


class ScriptedResponder(Responder):
    """Draws coloured noise that depends on prompt and seed, repeats questions, embeds files as a
    hash of their bytes; takes ``delay`` seconds for each response."""

    name = "scripted"
    fingerprint = "scripted-1"

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image]:
        return [self._picture(request) for request in requests]

    def _picture(self, request: Draw) -> Image.Image:
        time.sleep(self.delay)
        pixels = _numbers(f"{request.prompt}\0{request.seed}".encode()).integers(
            0, 256, (8, 8, 3), dtype=np.uint8
        )
        return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)

    def ask(self, requests: Sequence[Ask]) -> Sequence[str]:
        time.sleep(self.delay * len(requests))
        return [request.question for request in requests]

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray]:
        time.sleep(self.delay * len(requests))
        return [
            _numbers(request.image.read_bytes()).standard_normal(8).astype(np.float32)
            for request in requests
        ]


def _numbers(content: bytes) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(content).digest(), "big"))


def open_model(argument: str, options: ModelOptions) -> ScriptedResponder:
    """``scripted`` or ``scripted:SECONDS`` (a response). Raises UserError for anything else."""
    if options.given().keys() - {"device", "dtype"}:
        raise UserError("scripted has no settings: leave out " + ", ".join(options.given()))
    try:
        return ScriptedResponder(float(argument or 0))
    except ValueError:
        raise UserError(f"scripted:{argument}: give seconds, such as scripted:0.01") from None
