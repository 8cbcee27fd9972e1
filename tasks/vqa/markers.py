"""Markers that say where pictures belong: ``<image>``, ``<image 2>``, ``<image_2>``.

A model that does not know them would read them as text, or count them as pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harmon_eval.core import UserError

MARKER = re.compile(r"<\|?image(?:[ _-]?(\d{1,3}))?\|?>", re.IGNORECASE)
MOST = 9  # of numbered markers in a request (``core.Ask.parts``)


def placed(
    texts: Sequence[str], images: Sequence[Path], where: str
) -> tuple[list[str], Sequence[Path]]:
    """The texts with markers as ``core.Ask`` knows them, ``<image 1>``, and the images in the order
    of their first markers. The only picture needs none before or behind the whole text.

    Raises UserError where markers and pictures do not fit."""
    found = [match for text in texts for match in MARKER.finditer(text)]
    if not found:
        return list(texts), images
    named = [match[1] for match in found]
    if not images:
        raise UserError(f"{where}: there is {found[0][0]} in the text and no picture: add it")
    if len(images) > MOST:
        raise UserError(f"{where}: {len(images)} pictures have markers: leave the markers out")
    if not any(named):
        numbers = list(range(1, len(found) + 1))
    else:
        numbers = [int(name) if name else 0 for name in named]
    order = list(dict.fromkeys(numbers))
    if sorted(order) != list(range(1, len(images) + 1)):
        raise UserError(
            f"{where}: the markers {', '.join(m[0] for m in found[:4])} do not name each of the "
            f"{len(images)} pictures: mend or remove them"
        )
    left = iter(numbers)
    marked = [MARKER.sub(lambda _: f"<image {next(left)}>", text) for text in texts]
    if len(found) == 1:
        marked = [re.sub(r"^\s*<image 1>\s*|\s*<image 1>\s*$", "", text) for text in marked]
    return marked, [images[number - 1] for number in order]
