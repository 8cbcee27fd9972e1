"""The mini suite's stand-in for LPIPS: the layers of its feature network, without learned heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from harmon_eval.instruments.features.mini import MiniFeatures
from harmon_eval.instruments.measuring import Values


class MiniLpips:
    """The mean over layers and places of the squared difference of unit vectors, half of it: from 0
    to 2."""

    name = "mini"

    def __init__(self) -> None:
        self._features = MiniFeatures()
        self.identity = f"mini-layers {self._features.identity}"

    def compare(self, images: Sequence[Image.Image], references: Sequence[Image.Image]) -> Values:
        """RGB images and references -> a distance each."""
        return [self._one(*pair) for pair in zip(images, references, strict=True)]

    @torch.inference_mode()
    def _one(self, image: Image.Image, reference: Image.Image) -> float:
        first, second = (self.pixels(one) for one in (image, reference))
        parts = []
        for layer in self._features.net.body:
            first, second = layer(first), layer(second)
            if isinstance(layer, torch.nn.SiLU):
                unit = (torch.nn.functional.normalize(x, dim=1) for x in (first, second))
                parts.append(float((next(unit) - next(unit)).square().sum(1).mean() / 2))
        return float(np.mean(parts))

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """(1, 3, 64, 64), as the network takes it."""
        side = (self._features.side,) * 2
        sized = image if image.size == side else image.resize(side, Image.Resampling.BICUBIC)
        pixels = np.array(sized, np.float32)
        return (torch.from_numpy(pixels).permute(2, 0, 1)[None] - 128) / 128

    def places(self, image: Image.Image) -> torch.Tensor:
        """(64, 128): what the last of these layers has at each place of an image."""
        with torch.inference_mode():
            return self._features.net.body(self.pixels(image)).flatten(2)[0].T


def open_instrument() -> MiniLpips:
    return MiniLpips()
