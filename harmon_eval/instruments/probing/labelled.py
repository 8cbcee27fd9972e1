"""What a sample's id says about a labelled image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labelled:
    """``source`` names the set of images; it is empty if the folder holds only one set. ``name`` is
    the image's name within its class, ``view`` the number of a random crop (0: the whole image)."""

    source: str
    split: str
    label: str
    name: str
    view: int = 0

    @property
    def place(self) -> str:
        """``SET/SPLIT/CLASS/NAME``, or ``SET/SPLIT+VIEW/CLASS/NAME`` for a crop."""
        split = f"{self.split}+{self.view}" if self.view else self.split
        return "/".join(filter(None, (self.source, split, self.label, self.name)))

    @classmethod
    def of(cls, place: str) -> Labelled:
        """The inverse of ``place``."""
        *source, split, label, name = place.split("/")
        split, _, view = split.partition("+")
        return cls("/".join(source), split, label, name, int(view or 0))
