"""LPIPS with AlexNet, the usual one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.lpips._network import PLACE, Lpips, opened
from harmon_eval.instruments.weights import Weights

FILE = "alexnet-owt-7be5be79.pth"
WEIGHTS = Weights("LPIPS with AlexNet", (FILE,), PLACE + FILE, "7be5be79")


def open_instrument(find: Callable[[Weights], Path]) -> Lpips:
    """Raises InstrumentMissing without weights or torchvision, UserError for another file."""
    return opened("alex", WEIGHTS, find)
