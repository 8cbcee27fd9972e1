"""LPIPS with VGG16, as losses of training use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.lpips._network import PLACE, Lpips, opened
from harmon_eval.instruments.weights import Weights

FILE = "vgg16-397923af.pth"
WEIGHTS = Weights("LPIPS with VGG16", (FILE,), PLACE + FILE, "397923af")


def open_instrument(find: Callable[[Weights], Path]) -> Lpips:
    """Raises InstrumentMissing without weights or torchvision, UserError for another file."""
    return opened("vgg", WEIGHTS, find)
