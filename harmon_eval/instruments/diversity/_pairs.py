"""The mean distance over all pairs of a prompt's images, as OneIG-Bench takes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from harmon_eval.core import Unscorable
from harmon_eval.instruments.likeness import ImageNetwork, cosine
from harmon_eval.instruments.measuring import Pair


class PairwiseDistance:
    """``distance`` of two images. Prompts with one image have none; identical images have 0."""

    def __init__(
        self,
        name: str,
        identity: str,
        distance: Callable[[Sequence[Image.Image]], list[float | Exception]],
    ) -> None:
        self.name, self.identity, self._distances = name, f"pairwise {identity}", distance

    def pairs(self, images: Sequence[Image.Image]) -> list[float | Exception]:
        """RGB images -> the distance of each pair, in the order of ``itertools.combinations``."""
        return self._distances(images) if len(images) > 1 else []

    def spread(self, images: Sequence[Image.Image]) -> float | Exception:
        """Two or more RGB images -> their mean distance, or why there is none."""
        if len(images) < 2:
            return Unscorable("one image has no diversity: draw two or more for a prompt")
        found = self.pairs(images)
        values = [value for value in found if not isinstance(value, Exception)]
        if len(values) < len(found):
            return next(value for value in found if isinstance(value, Exception))
        return float(np.mean(values))


def of_lpips(pair: Pair) -> PairwiseDistance:
    """By LPIPS; the second of a pair is resized to the size of the first."""

    def distances(images: Sequence[Image.Image]) -> list[float | Exception]:
        return [pair.compare([a], [_sized(b, a)])[0] for a, b in itertools.combinations(images, 2)]

    return PairwiseDistance(f"lpips-{pair.name}", pair.identity, distances)


def _sized(image: Image.Image, like: Image.Image) -> Image.Image:
    return image if image.size == like.size else image.resize(like.size, Image.Resampling.BICUBIC)


def of_vectors(network: ImageNetwork) -> PairwiseDistance:
    """By 1 - cos of the vectors of a network."""

    def distances(images: Sequence[Image.Image]) -> list[float | Exception]:
        vectors = network.images(images)
        return [1 - cosine(*pair) for pair in itertools.combinations(vectors, 2)]

    return PairwiseDistance(f"1-cos {network.name}", network.identity, distances)
