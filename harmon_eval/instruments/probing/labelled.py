"""What a sample's id says of a labelled image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labelled:
    """``source`` names the set of images; empty where the folder holds one only. ``name`` is the
    image's own in its class, ``view`` the number of a random crop (0: the whole image)."""

    source: str
    split: str
    label: str
    name: str
    view: int = 0

    @property
    def place(self) -> str:
        """``SET/SPLIT/CLASS/NAME``, of a crop ``SET/SPLIT+VIEW/CLASS/NAME``."""
        split = f"{self.split}+{self.view}" if self.view else self.split
        return "/".join(filter(None, (self.source, split, self.label, self.name)))

    @classmethod
    def of(cls, place: str) -> Labelled:
        """The way back from ``place``."""
        *source, split, label, name = place.split("/")
        split, _, view = split.partition("+")
        return cls("/".join(source), split, label, name, int(view or 0))
