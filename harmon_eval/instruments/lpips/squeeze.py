"""LPIPS with SqueezeNet 1.1, as PIE-Bench uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.lpips._network import PLACE, Lpips, opened
from harmon_eval.instruments.weights import Weights

FILE = "squeezenet1_1-b8a52dc0.pth"
WEIGHTS = Weights("LPIPS with SqueezeNet 1.1", (FILE,), PLACE + FILE, "b8a52dc0")


def open_instrument(find: Callable[[Weights], Path]) -> Lpips:
    """Raises InstrumentMissing without weights or torchvision, UserError for another file."""
    return opened("squeeze", WEIGHTS, find)
