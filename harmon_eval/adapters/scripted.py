"""A fake model, for tests and for measuring the harness itself: fixed answers, no network."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from harmon_eval.core import Ask, Draw, Edit, Embed, Responder, Score, Unscorable, UserError
from harmon_eval.files.images import read_picture
from harmon_eval.replies.probabilities import First, Whole

SIDE = 64


class ScriptedResponder(Responder):
    """Draws coloured noise that depends on prompt and seed, mirrors images instead of editing them,
    repeats questions, embeds files as a hash of their bytes; takes ``delay`` seconds for each
    response.

    Appends what it was asked to the file ``asked``, a line each, before it answers."""

    name = "scripted"
    fingerprint = "scripted-1"

    def __init__(self, delay: float = 0.0, asked: Path | None = None) -> None:
        self.delay = delay
        self.asked = asked

    def _note(self, requests: Sequence[str]) -> None:
        if self.asked is not None:
            with self.asked.open("a", encoding="utf-8") as file:
                file.write("".join(f"{request!r}\n" for request in requests))

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image]:
        self._note([f"{request.prompt} {request.seed}" for request in requests])
        return [self._picture(request) for request in requests]

    def _picture(self, request: Draw) -> Image.Image:
        time.sleep(self.delay)
        pixels = _numbers(f"{request.prompt}\0{request.seed}".encode()).integers(
            0, 256, (8, 8, 3), dtype=np.uint8
        )
        return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)

    def edit(self, requests: Sequence[Edit]) -> Sequence[Image.Image | Exception]:
        self._note([f"{request.instruction} {request.seed}" for request in requests])
        return [self._mirrored(request.images[0]) for request in requests]

    def _mirrored(self, source: Path) -> Image.Image | Exception:
        time.sleep(self.delay)
        try:
            return ImageOps.mirror(read_picture(source))
        except Unscorable as error:
            return error

    def ask(self, requests: Sequence[Ask]) -> Sequence[str]:
        self._note([f"{request.question} {request.seed}" for request in requests])
        time.sleep(self.delay * len(requests))
        return [request.question for request in requests]

    def score(self, requests: Sequence[Score]) -> Sequence[str]:
        """The first option is likeliest, whatever is asked."""
        self._note([f"{request.question} {request.seed}" for request in requests])
        time.sleep(self.delay * len(requests))
        return [_likely_first(request) for request in requests]

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray]:
        self._note([request.image.name for request in requests])
        time.sleep(self.delay * len(requests))
        return [
            _numbers(request.image.read_bytes()).standard_normal(8).astype(np.float32)
            for request in requests
        ]


def _likely_first(request: Score) -> str:
    count = len(request.options)
    if request.kind == "first":
        return First((0.9, *[0.05 / max(1, count - 1)] * (count - 1))).written()
    return Whole(tuple((-1.0 - n,) for n in range(count)), (-0.5,) * count).written()


def _numbers(content: bytes) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(content).digest(), "big"))


@dataclass(frozen=True)
class Settings:
    """None: delay and file are a part of the name."""


def open_model(argument: str, settings: Settings) -> ScriptedResponder:
    """``scripted``, ``scripted:SECONDS`` (a response) or ``scripted:SECONDS:FILE``, which notes
    there what it was asked. Raises UserError for anything else."""
    delay, _, asked = argument.partition(":")
    try:
        return ScriptedResponder(float(delay or 0), Path(asked) if asked else None)
    except ValueError:
        raise UserError(f"scripted:{argument}: give seconds, such as scripted:0.01") from None
