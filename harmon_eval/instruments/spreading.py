"""How different the images of one prompt are, from the rows of single images.

A task that marks ``whole_groups`` gives each image's row its distances to the others of its group,
and adds them up from the rows. Distances stand under the digests of the images, so that rows of an
image that was drawn again later match no other's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from harmon_eval.core import Answer, Row
from harmon_eval.instruments.measuring import Diversity
from harmon_eval.store.digests import sha256_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("spread_by", "picture", "distances")

logger = logging.getLogger(__name__)


def columns(
    answers: Sequence[Answer], images: Sequence[Image.Image], instrument: Diversity
) -> list[Row]:
    """``COLUMNS`` of each answer, whose RGB image is in ``images``."""
    pictures = [sha256_of(answer.image)[:16] for answer in answers]
    found: list[dict[str, float]] = [{} for _ in answers]
    groups: dict[str, list[int]] = {}
    for place, answer in enumerate(answers):
        groups.setdefault(answer.sample.group, []).append(place)
    for name, places in groups.items():
        distances = instrument.pairs([images[place] for place in places])
        for (a, b), distance in zip(combinations(places, 2), distances, strict=True):
            if isinstance(distance, Exception):
                logger.warning("no diversity of %s: %s", name, distance)
            else:
                found[a][pictures[b]] = found[b][pictures[a]] = distance
    return [
        {"spread_by": instrument.name, "picture": picture, "distances": json.dumps(own)}
        for picture, own in zip(pictures, found, strict=True)
    ]


def means(rows: pd.DataFrame) -> dict[str, float]:
    """Group -> mean distance over all pairs of its images, of groups with two images or more of
    which every distance is known."""
    found = {}
    for name, own in rows.groupby("group", sort=False):
        known = [json.loads(text) for text in own["distances"]]
        pairs = [
            first.get(b, second.get(a))
            for (first, a), (second, b) in combinations(zip(known, own["picture"], strict=True), 2)
        ]
        if pairs and None not in pairs:
            found[str(name)] = float(np.mean(pairs))
    return found
