"""Load MMDetection's Mask2Former checkpoint file into a transformers network.

Every tensor is checked: none may be missing, left over or misshapen.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harmon_eval.core import UserError
from harmon_eval.instruments.mask2former import keys
from harmon_eval.instruments.vocabulary import OBJECT_NAMES
from harmon_eval.store.digests import sha256_of

if TYPE_CHECKING:
    from transformers import Mask2FormerForUniversalSegmentation

# MMDetection's release tool puts the first digits of the SHA-256 into the file name.
RELEASES = {
    "743b7d99": "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_20220504_001756-743b7d99.pth",
    "c9d0c4f2": "mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco_20220504_001756-c9d0c4f2.pth",
}
COCO_NAMES = {"computer mouse": "mouse", "tv remote": "remote", "computer keyboard": "keyboard"}
# Not in the file: they belong to the loss and to a norm that the backbone does not use.
NOT_STORED = ("criterion.empty_weight", "model.pixel_level_module.encoder.swin.layernorm.")
# The file's metadata contains NumPy scalars, which are harmless. Besides these, only tensors and
# plain values may be unpickled.
_SCALAR = np.float64(0).__reduce__()[0]
NUMPY_SCALARS: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(np.dtype, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "b1"))),
]


def released(path: Path) -> str:
    """The file's SHA-256. Raises UserError if it is not a released file."""
    digest = sha256_of(path)
    if digest[:8] not in RELEASES:
        raise UserError(
            f"{path} is not the detector that GenEval names: its SHA-256 begins with {digest[:8]} "
            f"instead of {' or '.join(RELEASES)}; download it again (it may be incomplete)"
        )
    return digest


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint under MMDetection 2.x names.

    Unpickles only tensors and plain values. Raises UserError if the file is not such a checkpoint
    or holds anything else."""
    try:
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} holds more than tensors and plain values, so it is not opened ({reason}); "
            f"use {RELEASES['743b7d99']} as MMDetection published it"
        ) from None
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(f"{path} is not a PyTorch file or is incomplete: {error}") from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(
            f"{path} has no state_dict of tensors, so it is not an MMDetection checkpoint"
        )
    _check_classes(path, content.get("meta"))
    return {keys.generation_2(name): value for name, value in state.items()}


def _check_classes(path: Path, meta: object) -> None:
    classes = meta.get("CLASSES") if isinstance(meta, dict) else None
    expected = [COCO_NAMES.get(name, name) for name in OBJECT_NAMES]
    if classes is not None and list(classes) != expected:
        raise UserError(f"{path} was not trained on COCO's 80 classes in their usual order")


def network(state: Mapping[str, Tensor], source: str) -> Mask2FormerForUniversalSegmentation:
    """A transformers network with exactly these tensors (2.x names), float32, for inference.

    Error messages name ``source``. Raises UserError listing every tensor that is missing,
    unexpected, or has a different shape or order than the network's."""
    from transformers import Mask2FormerConfig, SwinConfig
    from transformers import Mask2FormerForUniversalSegmentation as Network

    try:
        sizes = keys.network_sizes({name: tuple(value.shape) for name, value in state.items()})
    except (KeyError, ValueError) as error:
        raise UserError(f"{source} is not a Mask2Former with a Swin backbone: {error}") from None
    backbone = SwinConfig(**sizes.pop("backbone"))
    made = Network(Mask2FormerConfig(backbone_config=backbone, **sizes))
    converted, unknown = keys.to_transformers(state)
    own = made.state_dict()
    flaws = {
        "missing": [n for n in own if n not in converted and not n.startswith(NOT_STORED)],
        "unexpected": unknown + [n for n in converted if n not in own],
        "misshapen": [
            f"{n} {tuple(v.shape)} for {tuple(own[n].shape)}"
            for n, v in converted.items()
            if n in own and own[n].shape != v.shape
        ],
        "in a different order": keys.wrong_position_index(state),
    }
    if said := "; ".join(f"{kind}: {', '.join(names)}" for kind, names in flaws.items() if names):
        raise UserError(f"{source} does not fit the network: {said}")
    made.load_state_dict(converted, strict=False)
    return made.float().eval().requires_grad_(False)
