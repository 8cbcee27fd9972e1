"""GenEval's detector run by MMDetection 2.x itself: a second instrument that checks the first.

Needs ``mmcv==1.7.2`` and ``mmdet==2.28.2`` (docs/official.md says how to install them). An mmcv
build without compiled operations is enough: this network uses only one of them, and mmcv also has
it in PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from harmon_eval.core import UserError
from harmon_eval.instruments.mask2former import checkpoint, pixels
from harmon_eval.instruments.mask2former.detector import Found, full_float32
from harmon_eval.instruments.vocabulary import OBJECT_NAMES

CONFIG = "configs/mask2former/mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco.py"
EXTENSION = "mmcv._ext"


class _NoOperations(ModuleType):
    """Replaces mmcv's compiled operations; each raises UserError when it is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*arguments: object) -> None:
            raise UserError(f"mmcv has no compiled operation {name}: install a full mmcv")

        return absent


def _mmdet() -> Any:
    """Import mmdet, with a stand-in for missing compiled operations.

    Raises UserError if mmcv or mmdet is not installed, or if mmdet is not 2.x."""
    if find_spec("mmcv") is None or find_spec("mmdet") is None:
        raise UserError(
            "--detector mmdet needs mmcv 1.7.2 and mmdet 2.28.2, which are not installed: see "
            "docs/official.md, or leave out --detector (mask2former gives the same detections)"
        )
    if find_spec(EXTENSION) is None and EXTENSION not in sys.modules:
        stand_in = _NoOperations(EXTENSION)
        stand_in.__spec__ = ModuleSpec(EXTENSION, None)
        sys.modules[EXTENSION] = stand_in
    import mmdet

    if not mmdet.__version__.startswith("2."):
        raise UserError(f"mmdet {mmdet.__version__} prepares images differently: install 2.28.2")
    return mmdet


def build(config: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> Any:
    """mmdet's network, built from its own configuration. Raises UserError if weights do not fit."""
    _mmdet()
    import mmcv
    from mmcv.ops import multi_scale_deform_attn
    from mmdet.models import build_detector

    # Use the PyTorch version everywhere, because there may be no compiled one.
    multi_scale_deform_attn.IS_CUDA_AVAILABLE = False
    plain = mmcv.Config({"model": dict(config)}).model
    plain.backbone.init_cfg = None
    model = build_detector(plain)
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        raise UserError(f"weights do not fit mmdet's network: {error}") from None
    return model.eval().requires_grad_(False)


class MMDetDetector:
    """mmdet's own network and fusion head, with this package's preprocessing."""

    def __init__(
        self,
        model: Any,
        identity: str,
        device: str | None = None,
        pipeline: pixels.Pipeline | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device)
        self.identity = identity
        self.pipeline = pipeline or pixels.PUBLISHED

    def __call__(self, images: Sequence[np.ndarray]) -> list[Found]:
        return [self._detect(image) for image in images]

    @torch.inference_mode()
    def _detect(self, image: np.ndarray) -> Found:
        prepared = pixels.prepare(image, self.pipeline)
        height, width = prepared.pixels.shape[-2:]
        meta = {
            "img_shape": (*prepared.resized, 3),
            "ori_shape": (*prepared.original, 3),
            "pad_shape": (height, width, 3),
            "batch_input_shape": (height, width),
            "scale_factor": np.ones(4, dtype=np.float32),
        }
        with full_float32(self.device):
            (result,) = self.model.simple_test(
                prepared.pixels.to(self.device), [meta], rescale=True
            )
        found = {}
        for name, boxes, masks in zip(OBJECT_NAMES, *result, strict=True):
            if len(boxes):
                order = np.argsort(-boxes[:, 4], kind="stable")
                found[name] = (boxes[order], np.stack(masks)[order].astype(bool))
        return found


def mmdet_detector(path: Path, device: str | None = None) -> MMDetDetector:
    """The released checkpoint at ``path``, run by mmdet itself. Raises UserError if it does not
    fit, or if mmdet is missing."""
    mmdet = _mmdet()
    import mmcv

    digest = checkpoint.released(path)
    config = mmcv.Config.fromfile(str(Path(mmdet.__file__).parent / ".mim" / CONFIG))
    model = build(config.model, checkpoint.read_state(path))
    return MMDetDetector(model, f"mmdet-{mmdet.__version__} sha256:{digest}", device)
