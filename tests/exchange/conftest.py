"""A finished run with verdicts, drawings and samples without a score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image

import harmon_eval
from harmon_eval.core import Ask, Draw, Responder


class Hasty(Responder):
    """Says yes to all, fails on the third question, and draws a grey square."""

    name, fingerprint = "team/hasty", "hasty-1"
    settings = MappingProxyType({"temperature": 0.5, "size": [64, 64]})

    def ask(self, requests: Sequence[Ask]) -> list[str | Exception]:
        every: list[str | Exception] = ["yes"] * len(requests)
        return [*every[:2], RuntimeError("out of luck"), *every[3:]]

    def draw(self, requests: Sequence[Draw]) -> list[Image.Image]:
        return [Image.fromarray(np.full((64, 64, 3), 128, np.uint8)) for _ in requests]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 samples or so of POPE, own questions and GenEval."""
    folder = tmp_path_factory.mktemp("exchange") / "run"
    tasks = ["pope", "vqa", "geneval"]
    harmon_eval.evaluate(Hasty(), tasks, limit=4, output=folder, batch_size=16)
    return folder
