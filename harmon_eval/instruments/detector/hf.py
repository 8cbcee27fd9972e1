"""Mask2Former weights of another training run, as the Hugging Face hub has them.

Its scores are not calibrated for GenEval's thresholds: its numbers never share a column with those
of the official detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.mask2former.detector import Detector, hub_detector, self_test
from harmon_eval.instruments.weights import Weights

WEIGHTS = Weights(
    "the transformers checkpoint of another training run",
    ("mask2former-swin-small-coco-instance/model.safetensors",),
    "facebook/mask2former-swin-small-coco-instance on the Hugging Face hub (config.json and "
    "model.safetensors)",
)


def open_instrument(find: Callable[[Weights], Path]) -> Detector:
    """Raises InstrumentMissing without the weights, UserError for unfit ones or a failed test."""
    detector: Detector = hub_detector(find(WEIGHTS).parent)
    self_test(detector)
    return detector
