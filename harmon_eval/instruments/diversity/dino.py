"""Diversity as 1 - cos of the class tokens of a ViT: ``diversity=dino`` or ``dino:FOLDER``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.dino import hf
from harmon_eval.instruments.diversity._pairs import PairwiseDistance, of_vectors
from harmon_eval.instruments.weights import Weights

WEIGHTS = hf.WEIGHTS


def open_instrument(argument: str, find: Callable[[Weights], Path]) -> PairwiseDistance:
    """Raises InstrumentMissing without the weights, UserError if they do not fit."""
    return of_vectors(hf.open_instrument(argument, find))
