"""GenEval's own detector in MMDetection itself, if that can be installed (docs/official.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.detector.mask2former import WEIGHTS
from harmon_eval.instruments.mask2former.detector import Detector, self_test
from harmon_eval.instruments.mask2former.mmdet import mmdet_detector
from harmon_eval.instruments.weights import Weights


def open_instrument(find: Callable[[Weights], Path]) -> Detector:
    """Load and test the detector. Raises InstrumentMissing if the weights are missing, UserError
    if they do not fit or the self-test fails."""
    detector: Detector = mmdet_detector(find(WEIGHTS))
    self_test(detector)
    return detector
