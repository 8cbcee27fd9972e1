"""The mini suite's stand-in for DINO: the network of its features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from harmon_eval.instruments.features.mini import MiniFeatures


class MiniDino:
    """The mini suite's feature network for images of any size."""

    name = "mini"

    def __init__(self) -> None:
        self._features = MiniFeatures()
        self.identity = self._features.identity

    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images -> (n, 64) float32."""
        side = (self._features.side, self._features.side)
        sized = (
            image if image.size == side else image.resize(side, Image.Resampling.BICUBIC)
            for image in images
        )
        pixels = np.stack([np.asarray(image, np.float32).transpose(2, 0, 1) for image in sized])
        return self._features(pixels)


def open_instrument() -> MiniDino:
    return MiniDino()
