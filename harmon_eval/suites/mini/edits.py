"""Pairs of scenes with an instruction that turns one into the other: the mini world of editing.

Objects lie in the four quadrants whatever their number, so that every edit leaves a legal layout.
They differ pairwise in shape and in colour, so that "the red circle" is one object; scenes whose
number is edited hold objects of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harmon_eval.suites.mini import instructions
from harmon_eval.suites.mini.instructions import JOINABLE, Demand, Named
from harmon_eval.suites.mini.scenes import (
    COLORS,
    MAX_OBJECTS,
    QUADRANTS,
    RADII,
    SHAPES,
    SIDE,
    SPREAD,
    Background,
    Item,
    Scene,
    sample_background,
)
from harmon_eval.suites.mini.scenes import unseen as shows_unseen

KINDS = (*instructions.SINGLE, "hybrid")
# The bundled autoencoder knows grey from 124 to 160 only; each tone is drawn from one of these.
DARK, LIGHT = (124.0, 132.0), (152.0, 160.0)
_SHARE_RESHAPED = 0.5  # of replacements: the colour stays


@dataclass(frozen=True)
class MiniEdit:
    """``target`` equals ``source`` but for what ``demands`` say; ``instruction`` words them."""

    kind: str
    instruction: str
    source: Scene
    target: Scene
    demands: tuple[Demand, ...]

    @property
    def unseen(self) -> bool:
        """Whether either scene shows a combination that training leaves out."""
        return shows_unseen(self.source) or shows_unseen(self.target)


def quadrant(x: float, y: float) -> int:
    """The index in QUADRANTS of the quarter in which a point lies."""
    return int(x >= SIDE / 2) + 2 * int(y >= SIDE / 2)


def sample_edit(
    rng: np.random.Generator,
    kind: str | None = None,
    *,
    unseen: bool | None = None,
    held_back: bool = False,
) -> MiniEdit:
    """A random edit of one of KINDS (None: any).

    ``unseen`` True asks for scenes with a combination of colour and shape, number and shape, or
    relation that training leaves out, False for scenes without one, None takes either.
    ``held_back`` words it as training never does. Raises ValueError for an unknown kind."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    while True:
        made = _MAKERS.get(chosen := kind or KINDS[rng.integers(len(KINDS))], _single)
        source, demands = made(rng, chosen)
        target = source
        for demand in demands:
            target = apply(demand, target, rng)
        text = instructions.word(demands, rng, held_back)
        edit = MiniEdit(chosen, text, source, target, demands)
        if unseen is None or edit.unseen == unseen:
            return edit


def turns(whole: MiniEdit, rng: np.random.Generator) -> list[MiniEdit]:
    """The demands of an edit as edits of their own, each of what the one before makes."""
    found, scene = [], whole.source
    for demand in whole.demands:
        after = apply(demand, scene, rng)
        text = instructions.word((demand,), rng)
        found.append(replace(whole, instruction=text, source=scene, target=after))
        scene = after
    return found


# -- scenes ----------------------------------------------------------------------------------


def scene_of(rng: np.random.Generator, kinds: Sequence[Named]) -> Scene:
    """Objects (colour, shape) in different quadrants, at random."""
    corners = rng.permutation(4)[: len(kinds)]
    items = tuple(_item(rng, kind, int(c)) for kind, c in zip(kinds, corners, strict=True))
    return Scene(items, sample_background(rng))


def _item(rng: np.random.Generator, kind: Named, corner: int) -> Item:
    color, shape = kind
    radius = float(rng.choice(list(RADII.values())) * rng.uniform(0.94, 1.06))
    return Item(shape, color, *_centre(rng, corner), radius)


def _centre(rng: np.random.Generator, corner: int) -> tuple[float, float]:
    spread = SPREAD[MAX_OBJECTS]
    x, y = (value + float(rng.uniform(-spread, spread)) for value in QUADRANTS[corner])
    return x, y


def distinct_kinds(rng: np.random.Generator, count: int) -> list[Named]:
    """``count`` kinds (colour, shape), all of another shape and another colour."""
    colors, shapes = rng.permutation(list(COLORS)), rng.permutation(list(SHAPES))
    return [(str(c), str(s)) for c, s in zip(colors[:count], shapes[:count], strict=True)]


def _other(rng: np.random.Generator, names: Sequence[str], shown: Sequence[str]) -> str:
    left = [name for name in names if name not in shown]
    return left[int(rng.integers(len(left)))]


def _new_kind(rng: np.random.Generator, scene: Scene) -> Named:
    """A kind that shares neither colour nor shape with any object of the scene."""
    return (
        _other(rng, list(COLORS), [item.color for item in scene.items]),
        _other(rng, list(SHAPES), [item.shape for item in scene.items]),
    )


def free_corners(scene: Scene) -> list[int]:
    taken = {quadrant(item.x, item.y) for item in scene.items}
    return [corner for corner in range(len(QUADRANTS)) if corner not in taken]


# -- demands on a scene ------------------------------------------------------------------------

# How many objects the source shows.
_OBJECTS = {"add": (1, 3), "remove": (2, 4), "move": (1, 3), "replace": (1, 4)}


def _single(rng: np.random.Generator, action: str) -> tuple[Scene, tuple[Demand, ...]]:
    low, high = _OBJECTS.get(action, (1, 4))
    scene = scene_of(rng, distinct_kinds(rng, int(rng.integers(low, high + 1))))
    scene = _prepared(rng, action, scene, 0)
    return scene, (_demand(rng, action, scene, 0),)


def _number(rng: np.random.Generator, _: str) -> tuple[Scene, tuple[Demand, ...]]:
    before, after = (int(n) for n in rng.permutation(np.arange(1, MAX_OBJECTS + 1))[:2])
    (kind,) = distinct_kinds(rng, 1)
    return scene_of(rng, [kind] * before), (Demand("number", kind, count=after),)


def _hybrid(rng: np.random.Generator, _: str) -> tuple[Scene, tuple[Demand, ...]]:
    """Two demands of different kinds, on different objects and corners."""
    while True:
        first, second = (str(a) for a in rng.permutation(JOINABLE)[:2])
        scene = scene_of(rng, distinct_kinds(rng, int(rng.integers(2, 4))))
        if not free_corners(scene)[1:] and {first, second} == {"add", "move"}:
            continue
        scene = _prepared(rng, first, scene, 0)
        scene = _prepared(rng, second, scene, 1)
        one = _demand(rng, first, scene, 0)
        # The second is chosen as if the first had been done, so that no two objects end up alike.
        shown = apply(one, scene, rng)
        moved = replace(scene, items=(*scene.items, *shown.items))
        two = _demand(rng, second, scene, 1, moved)
        return scene, (one, two)


_MAKERS: dict[str, Callable[[np.random.Generator, str], tuple[Scene, tuple[Demand, ...]]]] = {
    "number": _number,
    "hybrid": _hybrid,
}


def _prepared(rng: np.random.Generator, action: str, scene: Scene, which: int) -> Scene:
    """The scene so that object ``which``, or the background, allows the action."""
    if action == "resize":
        radius = RADII[("small", "large")[rng.integers(2)]] * float(rng.uniform(0.94, 1.06))
        items = list(scene.items)
        items[which] = replace(items[which], radius=radius)
        return replace(scene, items=tuple(items))
    if action == "background":
        tone = float(rng.uniform(*(DARK, LIGHT)[rng.integers(2)]))
        return replace(scene, background=replace(scene.background, tone=tone))
    return scene


def _demand(
    rng: np.random.Generator,
    action: str,
    scene: Scene,
    which: int,
    avoided: Scene | None = None,
) -> Demand:
    """The action on object ``which``. What is new shares nothing with the scene ``avoided``."""
    avoided = avoided or scene
    if action == "background":
        return Demand(action, up=_is_dark(scene.background))
    item = scene.items[which]
    old = (item.color, item.shape)
    color, shape = _new_kind(rng, avoided)
    if action == "recolour":
        return Demand(action, old, (color, old[1]))
    if action == "replace":
        return Demand(action, old, (old[0] if rng.random() < _SHARE_RESHAPED else color, shape))
    if action == "resize":
        return Demand(action, old, up=item.radius < RADII["medium"])
    if action == "remove":
        return Demand(action, old)
    corner = int(rng.choice(free_corners(avoided)))
    if action == "move":
        return Demand(action, old, corner=corner)
    return Demand(action, new=(color, shape), corner=corner)


def _is_dark(background: Background) -> bool:
    return background.tone < (DARK[1] + LIGHT[0]) / 2


# -- what a demand makes of a scene --------------------------------------------------------------


def apply(demand: Demand, scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene as the demand wants it. ``rng`` places what has no place yet."""
    if demand.action == "background":
        tone = float(rng.uniform(*(LIGHT if demand.up else DARK)))
        return replace(scene, background=replace(scene.background, tone=tone))
    if demand.action == "add":
        assert demand.new is not None and demand.corner is not None
        return replace(scene, items=(*scene.items, _item(rng, demand.new, demand.corner)))
    items = scene.items
    if demand.action == "number":
        assert demand.old is not None and demand.count is not None
        # In reading order, so that the outcome is not one more thing to guess in training.
        kept = sorted(items, key=lambda item: quadrant(item.x, item.y))[: demand.count]
        free = free_corners(scene)[: max(0, demand.count - len(items))]
        return replace(scene, items=(*kept, *(_item(rng, demand.old, c) for c in free)))
    changed = tuple(
        edited
        for item in items
        for edited in (
            _changed(demand, item, rng) if (item.color, item.shape) == demand.old else [item]
        )
    )
    return replace(scene, items=changed)


def _changed(demand: Demand, item: Item, rng: np.random.Generator) -> list[Item]:
    """What becomes of the object that is named: nothing, or one object."""
    if demand.action == "remove":
        return []
    if demand.new is not None:
        return [replace(item, color=demand.new[0], shape=demand.new[1])]
    if demand.corner is not None:
        x, y = _centre(rng, demand.corner)
        return [replace(item, x=x, y=y)]
    ratio = RADII["large"] / RADII["small"]
    return [replace(item, radius=item.radius * (ratio if demand.up else 1 / ratio))]
