"""GenEval's detector: MMDetection's Mask2Former (Swin-S, COCO instances) run by transformers.

Cheng et al. 2022, arXiv 2112.01527; configuration ``mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco``
of MMDetection 2.x, which GenEval (arXiv 2310.11513) names. Needs neither mmcv nor mmdet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers

from harmon_eval.core import UserError
from harmon_eval.instruments.mask2former import checkpoint, pixels
from harmon_eval.instruments.vocabulary import OBJECT_NAMES
from harmon_eval.store.digests import sha256_of

Found = dict[str, tuple[np.ndarray, np.ndarray]]
# What the self-test must find in the photograph, and the score it must exceed: GenEval's highest
# threshold.
KNOWN_OBJECT, KNOWN_SCORE = "person", 0.9


class Detector(Protocol):
    """Images (H, W, 3) uint8 RGB -> class name -> boxes (n, 5) float32 [x0, y0, x1, y1, score],
    best first, and masks (n, H, W) bool."""

    identity: str

    def __call__(self, images: Sequence[np.ndarray]) -> list[Found]: ...


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Turn off autocast and TF32, because scores are compared with the thresholds 0.3 and 0.9."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class Mask2FormerDetector:
    """Runs ``network`` with the official preprocessing and postprocessing.

    ``network`` takes (1, 3, H, W) pixels and returns class and mask logits. Images are processed
    one at a time, because padding to the size of another image would change the network's input."""

    classes = frozenset(OBJECT_NAMES)

    def __init__(
        self,
        network: Any,
        identity: str,
        device: str | None = None,
        pipeline: pixels.Pipeline | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.network = network.to(self.device)
        self.identity = identity
        self.pipeline = pipeline or pixels.PUBLISHED

    def __call__(self, images: Sequence[np.ndarray]) -> list[Found]:
        return [by_class(self.detect(image)) for image in images]

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> pixels.Detections:
        """Detections in (H, W, 3) uint8 RGB. Raises UserError if scores are NaN or infinite."""
        prepared = pixels.prepare(image, self.pipeline)
        with full_float32(self.device):
            logits = self.network(pixel_values=prepared.pixels.to(self.device))
            found = pixels.detections(
                logits.class_queries_logits[0],
                logits.masks_queries_logits[0],
                prepared,
                self.pipeline.max_per_image,
            )
        if not bool(found.scores.isfinite().all()):
            raise UserError(f"{self.identity} returns NaN or infinity: its weights are damaged")
        return found


def by_class(found: pixels.Detections) -> Found:
    """Detections by GenEval's class names, in COCO's order, best first within each class."""
    boxes = torch.cat([found.boxes, found.scores[:, None]], dim=1).cpu().numpy()
    masks, labels = found.masks.cpu().numpy(), found.labels.cpu().numpy()
    return {
        OBJECT_NAMES[label]: (boxes[labels == label], masks[labels == label])
        for label in np.unique(labels)
    }


def official_detector(path: Path, device: str | None = None) -> Mask2FormerDetector:
    """The released MMDetection checkpoint at ``path``. Raises UserError for any other file."""
    digest = checkpoint.released(path)
    network = checkpoint.network(checkpoint.read_state(path), str(path))
    identity = f"mask2former-mmdet-2.x (transformers {transformers.__version__}) sha256:{digest}"
    return Mask2FormerDetector(network, identity, device)


def hub_detector(folder: Path, device: str | None = None) -> Mask2FormerDetector:
    """A transformers checkpoint (config.json and model.safetensors in ``folder``) of a different
    training run.

    Its scores are not calibrated for GenEval's thresholds, so they must never share a column with
    those of the official detector. Its identity ``geneval-hf`` keeps them apart. Raises UserError
    if the folder holds no such checkpoint."""
    from transformers import Mask2FormerForUniversalSegmentation as Network

    weights = folder / "model.safetensors"
    try:
        network = Network.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{folder} holds no transformers Mask2Former: {reason}") from None
    if network.config.num_labels != len(OBJECT_NAMES):
        raise UserError(f"{folder} has {network.config.num_labels} classes instead of COCO's 80")
    digest = sha256_of(weights)
    return Mask2FormerDetector(network.eval(), f"geneval-hf {folder.name} sha256:{digest}", device)


def known_photograph() -> np.ndarray:
    """The portrait of Grace Hopper (U.S. Navy, public domain) that matplotlib ships, uint8 RGB.

    Raises UserError if matplotlib is not installed."""
    from harmon_eval.files.images import read_rgb

    try:
        from matplotlib import get_data_path
    except ImportError:
        raise UserError(
            "the detector's self-test needs matplotlib's sample photograph: "
            "pip install 'harmon-eval[official]'"
        ) from None
    return read_rgb(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg")


def self_test(detector: Detector) -> None:
    """Refuse a detector that does not find the person in a portrait.

    This happens with mismatched weights and on some combinations of GPU and driver, where scores
    are too low but there is no error. Raises UserError."""
    (found,) = detector([known_photograph()])
    boxes, _ = found.get(KNOWN_OBJECT, (np.zeros((0, 5), dtype=np.float32), None))
    best = float(boxes[:, 4].max()) if len(boxes) else 0.0
    if not best > KNOWN_SCORE:
        raise UserError(
            f"the detector fails its self-test: {KNOWN_OBJECT} in a portrait scored {best:.3f}, "
            f"expected above {KNOWN_SCORE}; nothing is marked ({detector.identity}). Try another "
            "driver or the CPU (CUDA_VISIBLE_DEVICES= before the command), or download the weights "
            "again"
        )
