"""The mini suite's diversity: its stand-in for LPIPS."""

from __future__ import annotations

from harmon_eval.instruments.diversity._pairs import PairwiseDistance, of_lpips
from harmon_eval.instruments.lpips.mini import MiniLpips


def open_instrument() -> PairwiseDistance:
    return of_lpips(MiniLpips())
