"""LPIPS diversity: AlexNet, as in the papers on several images of one prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.diversity._pairs import PairwiseDistance, of_lpips
from harmon_eval.instruments.lpips import alex
from harmon_eval.instruments.weights import Weights

WEIGHTS = alex.WEIGHTS


def open_instrument(find: Callable[[Weights], Path]) -> PairwiseDistance:
    """Raises InstrumentMissing without weights or torchvision, UserError for another file."""
    return of_lpips(alex.open_instrument(find))
