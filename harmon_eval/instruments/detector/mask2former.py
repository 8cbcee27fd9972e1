"""GenEval's own detector: MMDetection's Mask2Former weights, run without MMDetection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harmon_eval.instruments.mask2former.detector import Detector, official_detector, self_test
from harmon_eval.instruments.weights import Weights

OPENMMLAB = "https://download.openmmlab.com/mmdetection"
SWIN_2 = "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco"
SWIN_3 = "mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco"
WEIGHTS = Weights(
    "the official GenEval detector (Mask2Former of MMDetection)",
    (
        f"{SWIN_2}_20220504_001756-743b7d99.pth",
        f"{SWIN_2}.pth",  # as GenEval's own script saves it
        f"{SWIN_3}_20220504_001756-c9d0c4f2.pth",
    ),
    f"{OPENMMLAB}/v2.0/mask2former/{SWIN_2}/{SWIN_2}_20220504_001756-743b7d99.pth",
    sha256="743b7d99",
)


def open_instrument(find: Callable[[Weights], Path]) -> Detector:
    """Load and test the detector. Raises InstrumentMissing if the weights are missing, UserError
    if they do not fit or the self-test fails."""
    detector: Detector = official_detector(find(WEIGHTS))
    self_test(detector)
    return detector
