"""Objects of several images brought into one: instructions, their scenes, and a judge by rules.

Instructions name an object by its shape and image ("the circle from image 1"). Its colour and size
are to be seen there. The object goes to a corner of a new image, or of one of the given images,
whose objects and background stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harmon_eval.suites.mini.edit_judge import (
    BACKGROUND_MAE,
    COUNTS,
    Found,
    NotJudged,
    background_change,
    see,
)
from harmon_eval.suites.mini.edits import distinct_kinds, free_corners, quadrant, scene_of
from harmon_eval.suites.mini.instructions import CORNERS
from harmon_eval.suites.mini.language import enumeration
from harmon_eval.suites.mini.scenes import COLORS, QUADRANTS, SHAPES, Item, Scene

KINDS = ("single", "multi", "scene")
_OBJECT = re.compile(
    rf"the ({'|'.join(SHAPES)}) from image (\d)(?: into image (\d))? at the ({'|'.join(CORNERS)})"
)


@dataclass(frozen=True)
class Referred:
    """An object that an instruction names: its shape, image (from 0) and corner; ``into`` is the
    image in which it is to stand, if not a new one."""

    shape: str
    image: int
    corner: int
    into: int | None = None


@dataclass(frozen=True)
class MiniReference:
    """``target`` is what ``instruction`` asks for, given ``sources`` in order."""

    kind: str
    instruction: str
    sources: tuple[Scene, ...]
    target: Scene


def sample_reference(rng: np.random.Generator, kind: str) -> MiniReference:
    """A random instruction of one of KINDS with its images."""
    first, second = distinct_kinds(rng, 2)
    shown = [scene_of(rng, [first]), scene_of(rng, [second])]
    corners = [int(corner) for corner in rng.permutation(4)]
    if kind == "scene":
        place = scene_of(rng, [second, *_others(rng, [first, second])])
        corner = int(rng.choice(free_corners(place)))
        named = f"the {first[1]} from image 1 into image 2 at the {CORNERS[corner]}"
        target = replace(place, items=(*place.items, _moved(shown[0].items[0], corner)))
        return MiniReference(kind, f"Put {named}.", (shown[0], place), target)
    shown = shown[: 1 if kind == "single" else 2]
    items = [_moved(scene.items[0], c) for scene, c in zip(shown, corners, strict=False)]
    phrases = [
        f"the {item.shape} from image {number} at the {CORNERS[corner]}"
        for number, (item, corner) in enumerate(zip(items, corners, strict=False), 1)
    ]
    target = replace(scene_of(rng, []), items=tuple(items))
    return MiniReference(kind, f"Show {enumeration(phrases)}.", tuple(shown), target)


def _others(rng: np.random.Generator, shown: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """None or one kind more, unlike those shown in colour and shape."""
    kinds = distinct_kinds(rng, len(SHAPES))
    taken = {name for kind in shown for name in kind}
    free = [kind for kind in kinds if not taken & set(kind)]
    return free[: int(rng.integers(2))]


def _moved(item: Item, corner: int) -> Item:
    x, y = QUADRANTS[corner]
    return replace(item, x=x, y=y)


def drawn_blind(reference: MiniReference, rng: np.random.Generator) -> Scene:
    """What a model draws that reads the instruction and sees no image: the shapes at their places,
    in any colours, on any background."""
    named = read_references(reference.instruction)
    colors = rng.permutation(list(COLORS))
    scene = scene_of(rng, [(str(c), r.shape) for c, r in zip(colors, named, strict=False)])
    placed = zip(scene.items, named, strict=True)
    return replace(scene, items=tuple(_moved(item, r.corner) for item, r in placed))


def read_references(instruction: str) -> tuple[Referred, ...]:
    """What an instruction names; empty for none of those made here."""
    return tuple(
        Referred(shape, int(image) - 1, CORNERS.index(corner), int(into) - 1 if into else None)
        for shape, image, into, corner in _OBJECT.findall(instruction)
    )


def judge_references(
    sources: Sequence[np.ndarray], result: np.ndarray, instruction: str
) -> tuple[float, float]:
    """From 0 to 10: whether the named shapes stand where they should, whatever their colours, with
    nothing else there; whether they, and what was to stay, look as in their images.

    All images are (64, 64, 3) uint8. Raises NotJudged for another instruction, and for one about an
    object that its image does not show."""
    named = read_references(instruction)
    if not named or any(max(r.image, r.into or 0) >= len(sources) for r in named):
        raise NotJudged(f"not one of the mini suite's instructions: {instruction[:100]!r}")
    drawn = [found for found in see(result) if found.score > COUNTS]
    kept = named[0].into
    stays = [] if kept is None else [f for f in see(sources[kept]) if f.score > COUNTS]
    there = [_at(drawn, r) for r in named]
    followed = [found is not None for found in there]
    followed.append(len(drawn) == len(named) + len(stays))
    alike = [
        found is not None and _alike(_only(sources[r.image], r), found)
        for r, found in zip(named, there, strict=True)
    ]
    alike += [any(found.same(old) for found in drawn) for old in stays]
    if kept is not None:
        change = background_change(sources[kept], result, stays, drawn)
        alike.append(change <= BACKGROUND_MAE)
    return 10 * float(np.mean(followed)), 10 * float(np.mean(alike))


def _at(drawn: Sequence[Found], named: Referred) -> Found | None:
    own = (f for f in drawn if f.kind[1] == named.shape and quadrant(f.x, f.y) == named.corner)
    return next(own, None)


def _only(source: np.ndarray, named: Referred) -> Found:
    for found in see(source):
        if found.kind[1] == named.shape and found.score > COUNTS:
            return found
    raise NotJudged(f"image {named.image + 1} shows no {named.shape}")


def _alike(wanted: Found, found: Found) -> bool:
    return found.kind == wanted.kind and found.as_large(wanted)
