"""LPIPS 0.1 as torchmetrics computes it, with the network's weights from a file of the user's.

torchmetrics ships the small linear heads alone, and would download torchvision's network behind
them. Here nothing is fetched: the file is looked for beside the other weights and in torch.hub's
folder. One with other content than torchvision's has its digest in the metric's name.
"""

from __future__ import annotations

import importlib.util
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageChops

from harmon_eval.core import InstrumentMissing, Unscorable, UserError
from harmon_eval.instruments.mask2former.detector import known_photograph
from harmon_eval.instruments.measuring import Values
from harmon_eval.instruments.weights import Weights
from harmon_eval.store.digests import sha256_of

SMALLEST = 64  # pixels a side, which the networks' pooling leaves something of
PLACE = "https://download.pytorch.org/models/"
Net = Literal["alex", "vgg", "squeeze"]
PLANE = "features."  # of torchvision's names, what the slices hold


class Lpips:
    """``net``: alex, vgg or squeeze; ``file``: torchvision's weights of it.

    Raises UserError for a file that does not fit, InstrumentMissing without torchvision."""

    def __init__(self, net: Net, file: Path, published: str, device: str | None = None) -> None:
        if importlib.util.find_spec("torchvision") is None:
            raise InstrumentMissing("LPIPS needs torchvision: pip install 'harmon-eval[vision]'")
        from torchmetrics.functional.image.lpips import _LPIPS

        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = _LPIPS(pretrained=True, net=net, pnet_rand=True)
        digest = sha256_of(file)
        _fill(model.net, file)
        self.model = model.eval().requires_grad_(False).to(self.device)
        self.name = net if digest.startswith(published) else f"{net}@{digest[:8]}"
        self.identity = f"lpips {net} sha256:{digest[:16]}"

    @torch.inference_mode()
    def compare(self, images: Sequence[Image.Image], references: Sequence[Image.Image]) -> Values:
        """RGB images and references of the same size -> LPIPS of each pair, one pair at a time."""
        return [self._one(*pair) for pair in zip(images, references, strict=True)]

    def _one(self, image: Image.Image, reference: Image.Image) -> float | Exception:
        if image.size != reference.size:
            return Unscorable(
                f"LPIPS needs two images of one size, not {image.size} and {reference.size}"
            )
        if min(image.size) < SMALLEST:
            return Unscorable(f"an image with a side below {SMALLEST} pixels has no LPIPS")
        pair = (_tensor(one).to(self.device) for one in (image, reference))
        return float(self.model(*pair, normalize=True))


def _tensor(image: Image.Image) -> torch.Tensor:
    """(1, 3, H, W) float32 from 0 to 1."""
    pixels = np.array(image, np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def _fill(network: Any, file: Path) -> None:
    """Torchvision's weights into slices, which are the same layers by their numbers."""
    own = {name: re.sub(r"^(slices\.)?(slice)?\d+\.", PLANE, name) for name in network.state_dict()}
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict({name: content[theirs] for name, theirs in own.items()})
    except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} holds no weights that LPIPS needs ({reason})") from None


def opened(net: Net, wanted: Weights, find: Callable[[Weights], Path]) -> Lpips:
    """LPIPS with a network of the user's file, tested. Raises InstrumentMissing and UserError."""
    lpips = Lpips(net, found(wanted, find), wanted.sha256)
    photograph = Image.fromarray(known_photograph())
    negative = ImageChops.invert(photograph)
    same, other = lpips.compare([photograph] * 2, [photograph, negative])
    if not (same == 0 and isinstance(other, float) and 0 < other < np.inf):
        raise UserError(
            f"LPIPS fails its self-test: a photograph is {same} from itself and {other} from its "
            "negative; nothing is marked. Get the weights again"
        )
    return lpips


def found(wanted: Weights, find: Callable[[Weights], Path]) -> Path:
    """The file beside other weights, or in torch.hub's folder. Raises InstrumentMissing."""
    own = Path(torch.hub.get_dir()) / "checkpoints" / wanted.names[0]
    try:
        return find(wanted)
    except InstrumentMissing:
        if own.is_file():
            return own
        raise
