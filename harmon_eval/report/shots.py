"""Outcomes as they are shown: a thumbnail with what was found on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harmon_eval.report import gather
from harmon_eval.report.thumbnails import Thumbnail, Thumbnails

Box = tuple[str, str, int, tuple[float, ...]]


@dataclass(frozen=True)
class Shot:
    """One outcome as the gallery shows it; boxes are x, y, width, height in per cent."""

    run: str
    outcome: gather.Outcome
    thumbnail: Thumbnail | None
    boxes: Sequence[Box]
    alt: str


class Shown(NamedTuple):
    """A card's thumbnails: of the images that it is about, of its references by name, and each item
    with its outcomes."""

    asked: list[Thumbnail | None]
    references: list[tuple[str, Thumbnail | None]]
    items: list[tuple[gather.Item, list[Shot]]]


def shots_of(card: gather.Card, names: Sequence[str], thumbnails: Thumbnails) -> Shown:
    asked = [thumbnails.add(file) for file in card.asked]
    references = [(name, thumbnails.add(file)) for name, file in card.references]
    items = []
    for place, item in enumerate(card.items, 1):
        shots = []
        for name, outcome in zip(names, item.outcomes, strict=False):
            thumbnail = thumbnails.add(outcome.image) if outcome.image else None
            boxes = _boxes(outcome.boxes, thumbnail) if thumbnail else []
            kind = "Result" if card.edited else "Drawing"
            alt = f"{kind} {place} of {len(card.items)} by {name} for: {card.text}:"
            alt += f" {outcome.state}. {outcome.reason}".rstrip()
            shots.append(Shot(name, outcome, thumbnail, boxes, alt))
        items.append((item, shots))
    return Shown(asked, references, items)


def _boxes(boxes: gather.Boxes, thumbnail: Thumbnail) -> list[Box]:
    """Name, score as text, number of the class, and place."""
    classes = list(dict.fromkeys(name for name, _ in boxes))
    placed = []
    for name, (x0, y0, x1, y1, *score) in boxes:
        width, height = thumbnail.width / 100, thumbnail.height / 100
        place = (x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
        told = f"{score[0]:.2f}" if score else ""
        placed.append((name, told, classes.index(name), tuple(round(v, 2) for v in place)))
    return placed
