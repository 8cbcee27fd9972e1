"""DPG-Bench's image folder: ``ITEM.png`` with four drawings of a prompt in a grid of 2 x 2.

Also the drawings one by one: ``ITEM_0.png`` ... ``ITEM_3.png``, or ``ITEM/0000.png`` ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harmon_eval.core import Drawn
from harmon_eval.files.found import pictures


def read_images(folder: Path) -> list[Drawn] | None:
    """The pictures by the item that names them; None where there are none."""
    return list(_named(folder)) or None


def _named(folder: Path) -> Iterator[Drawn]:
    for file in pictures(folder, deep=False):
        if one := re.fullmatch(r"(.+)_(\d{1,4})", file.stem):
            yield Drawn(file, sample=f"{one[1]}/{int(one[2]):04d}")
        else:
            yield Drawn(file, sample=f"{file.stem}/0000", grid=True)
    for own in sorted(path for path in folder.iterdir() if path.is_dir()):
        for file in pictures(own, deep=False):
            if file.stem.isdecimal():
                yield Drawn(file, sample=f"{own.name}/{int(file.stem):04d}")
