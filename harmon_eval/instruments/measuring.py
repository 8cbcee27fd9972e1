"""The shapes of measures of images: of one image, of a pair, of all images of a prompt.

Measures of sets have a shape too: a network of the role ``features`` gives a row of numbers for
each image, and pure functions compare the rows (``metrics.fid_images.FeatureNet``,
``metrics.sets``). docs/measures.md lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from PIL import Image

from harmon_eval.core import Unscorable

Values = list[float | Exception]


class Measure(Protocol):
    """An instrument of the role ``measure``: one number for each image, with or without a text.

    ``name`` says what is measured, by which recipe and network; it stands in the metric's name.
    ``identity`` adds the digest of the weights. A higher number is better."""

    name: str
    identity: str

    def measure(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Values:
        """RGB images and the text of each -> one number each, or why there is none.

        A number depends on its own image and text alone, not on the others."""


class Pair(Protocol):
    """An instrument of the role ``lpips`` or ``structure``: how far an image is from a reference.

    ``name`` stands in the metric's name. 0 is the same; the smaller, the more alike."""

    name: str
    identity: str

    def compare(self, images: Sequence[Image.Image], references: Sequence[Image.Image]) -> Values:
        """RGB images and the reference of each, of the same size -> a distance each, or why there
        is none."""


class Diversity(Protocol):
    """An instrument of the role ``diversity``: how different the images of one prompt are."""

    name: str
    identity: str

    def pairs(self, images: Sequence[Image.Image]) -> Values:
        """The distance of each pair of RGB images, in the order of ``itertools.combinations``, or
        why there is none."""

    def spread(self, images: Sequence[Image.Image]) -> float | Exception:
        """The mean distance over all pairs of two or more RGB images, or why there is none."""


def each(
    score: Callable[[Image.Image, str], float],
    images: Sequence[Image.Image],
    texts: Sequence[str],
    needs_text: bool = True,
) -> Values:
    """``score`` of each image with its text; where a text is needed and missing, the reason.

    Raises ValueError for lists of different lengths."""
    found: Values = []
    for image, text in zip(images, texts, strict=True):
        if needs_text and not text.strip():
            found.append(Unscorable("the image has no text to be compared with"))
        else:
            found.append(score(image, text))
    return found
