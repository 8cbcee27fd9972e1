"""Raw pixels as features, the floor of a probe: ``pixels`` or ``pixels:SIDE``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harmon_eval.core import Embed, Responder, UserError
from harmon_eval.files.images import viewed
from harmon_eval.files.views import centre_crop

SIDE = 32


class PixelResponder(Responder):
    """The centre crop of ``side`` x ``side`` pixels, (3 * side^2,) in [-1, 1], row by row."""

    def __init__(self, side: int = SIDE) -> None:
        self.name, self.side = "pixels", side
        self.fingerprint = f"pixels-1-{side}"
        self.settings = {"side": side}

    def embed(self, requests: Sequence[Embed]) -> list[np.ndarray]:
        images = [np.asarray(centre_crop(viewed(r), self.side), np.float32) for r in requests]
        return [(image * 2 / 255 - 1).ravel() for image in images]


@dataclass(frozen=True)
class Settings:
    """None: the side is a part of the name."""


def open_model(argument: str, settings: Settings) -> PixelResponder:
    """Raises UserError for a side that is no number from 1 to 512."""
    if argument and not (argument.isdecimal() and 1 <= int(argument) <= 512):
        raise UserError(f"pixels:{argument}: give the side in pixels, such as pixels:{SIDE}")
    return PixelResponder(int(argument or SIDE))
