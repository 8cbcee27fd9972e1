"""The mini suite's stand-in for structure distance: its feature network in place of DINO."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from harmon_eval.instruments.likeness import self_similarity
from harmon_eval.instruments.lpips.mini import MiniLpips
from harmon_eval.instruments.measuring import Values


class MiniStructure:
    """The mean squared difference of two self-similarities."""

    name = "mini"

    def __init__(self) -> None:
        self._layers = MiniLpips()
        self.identity = f"mini-structure {self._layers.identity}"

    def compare(self, images: Sequence[Image.Image], references: Sequence[Image.Image]) -> Values:
        """RGB images and references -> a distance each."""
        pairs = zip(images, references, strict=True)
        maps = ([self_similarity(self._layers.places(one)) for one in pair] for pair in pairs)
        return [float((first - second).square().mean()) for first, second in maps]


def open_instrument() -> MiniStructure:
    return MiniStructure()
