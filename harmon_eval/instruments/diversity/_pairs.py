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

    def spread(self, images: Sequence[Image.Image]) -> float | Exception:
        """Two or more RGB images -> their mean distance, or why there is none."""
        if len(images) < 2:
            return Unscorable("one image has no diversity: draw two or more for a prompt")
        found = self._distances(images)
        values = [value for value in found if not isinstance(value, Exception)]
        if len(values) < len(found):
            return next(value for value in found if isinstance(value, Exception))
        return float(np.mean(values))


def of_pairs(pair: Pair) -> PairwiseDistance:
    """By a distance of two images; images of another size are resized to the first one's."""

    def distances(images: Sequence[Image.Image]) -> list[float | Exception]:
        size = images[0].size
        sized = [i if i.size == size else i.resize(size, Image.Resampling.BICUBIC) for i in images]
        pairs = itertools.combinations(sized, 2)
        return [pair.compare([first], [second])[0] for first, second in pairs]

    return PairwiseDistance(pair.name, pair.identity, distances)


def of_vectors(network: ImageNetwork) -> PairwiseDistance:
    """By 1 - cos of the vectors of a network."""

    def distances(images: Sequence[Image.Image]) -> list[float | Exception]:
        vectors = network.images(images)
        return [1 - cosine(*pair) for pair in itertools.combinations(vectors, 2)]

    return PairwiseDistance(network.name, network.identity, distances)
