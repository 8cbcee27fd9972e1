"""Mask2Former weights from a different training run, as found on the Hugging Face hub.

Its scores are not calibrated for GenEval's thresholds, so its results never share a column with
those of the official detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.mask2former.detector import Detector, hub_detector, self_test
from harmon_eval.instruments.weights import Weights

WEIGHTS = Weights(
    "the transformers checkpoint of a different training run",
    ("mask2former-swin-small-coco-instance/model.safetensors",),
    "facebook/mask2former-swin-small-coco-instance on the Hugging Face hub (config.json and "
    "model.safetensors)",
)


def open_instrument(find: Callable[[Weights], Path]) -> Detector:
    """Load and test the detector. Raises InstrumentMissing if the weights are missing, UserError
    if they do not fit or the self-test fails."""
    detector: Detector = hub_detector(find(WEIGHTS).parent)
    self_test(detector)
    return detector
