"""The mini suite's stand-in for CLIP: images and captions as counts of coloured shapes.

The rules of the judge find an image's objects; a caption names its own. Both become how many there
are of each colour and shape, so that an image and its caption have the same vector. Places, sizes
and backgrounds are not in it: the stand-in for DINO sees those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from harmon_eval.suites.mini.edit_judge import COUNTS, IDENTITY, see
from harmon_eval.suites.mini.scenes import COLORS, SHAPES, SIDE

KINDS = {
    (color, shape): n for n, (color, shape) in enumerate((c, s) for c in COLORS for s in SHAPES)
}
_NAMED = re.compile(rf"\ban? ({'|'.join(COLORS)}) ({'|'.join(SHAPES)})\b")


class MiniClip:
    """Counts of kinds; the last number is always 1, so that no image has a vector of zeros."""

    name = "shape-counts"
    identity = f"shape-counts-1 {IDENTITY}"

    def images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """RGB images -> (n, colours x shapes + 1) float32."""
        side = (SIDE, SIDE)
        found = []
        for image in images:
            sized = image if image.size == side else image.resize(side, Image.Resampling.BICUBIC)
            found.append(_vector(o.kind for o in see(np.asarray(sized)) if o.score > COUNTS))
        return np.stack(found)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Captions -> (n, colours x shapes + 1) float32."""
        return np.stack([_vector(_NAMED.findall(text)) for text in texts])


def _vector(kinds: Iterable[tuple[str, str]]) -> np.ndarray:
    counts = np.zeros(len(KINDS) + 1, np.float32)
    counts[-1] = 1
    for kind in kinds:
        counts[KINDS[kind]] += 1
    return counts


def open_instrument() -> MiniClip:
    return MiniClip()
