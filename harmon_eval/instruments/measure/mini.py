"""The mini suite's stand-in for CLIPScore: counts of coloured shapes in image and caption."""

from __future__ import annotations

from harmon_eval.instruments.clip.mini import MiniClip
from harmon_eval.instruments.measure.clipscore import ClipScore


def open_instrument() -> ClipScore:
    """The cosine of the counts, as they are."""
    return ClipScore(MiniClip(), "cosine")
