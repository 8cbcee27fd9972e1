"""The mini suite's world: coloured shapes on a plain background, drawn from a description.

Coordinates are pixels of a 64 x 64 image, with x to the right and y down; ``render`` scales them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

SIDE = 64
SUPERSAMPLING = 4
MAX_OBJECTS = 4
MIN_GAP = 3.0

# GenEval's ten colours, in its palette order.
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 32, 40),
    "orange": (248, 140, 20),
    "yellow": (246, 226, 50),
    "green": (30, 150, 60),
    "blue": (30, 80, 215),
    "purple": (128, 40, 168),
    "pink": (250, 150, 196),
    "brown": (116, 66, 30),
    "black": (16, 16, 18),
    "white": (250, 250, 250),
}
RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
RADII = {"small": 8.0, "medium": 9.5, "large": 11.0}

# Never shown to harmon-mini in training. The held_out task measures how well it handles them.
UNSEEN_KINDS = frozenset(
    {
        ("red", "star"),
        ("blue", "ring"),
        ("green", "triangle"),
        ("yellow", "cross"),
        ("pink", "square"),
        ("black", "circle"),
    }
)
UNSEEN_COUNTS = frozenset({(4, "star"), (3, "square")})
UNSEEN_RELATIONS = frozenset({("circle", "left of", "star"), ("square", "above", "ring")})

Mask = Callable[["np.ndarray", "np.ndarray"], "np.ndarray"]


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A star with five points; its inner radius is 0.42 of the outer one."""
    sector = np.pi / 5
    angle = np.abs((np.arctan2(u, -v) + sector) % (2 * sector) - sector)
    x, y = np.hypot(u, v) * np.sin(angle), np.hypot(u, v) * np.cos(angle)
    inner = 0.42
    corner_x, corner_y = inner * np.sin(sector), inner * np.cos(sector)
    return x * (1.0 - corner_y) + (y - 1.0) * corner_x <= 0


SHAPES: dict[str, Mask] = {
    "circle": lambda u, v: u * u + v * v <= 0.9,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 0.84,
    "triangle": lambda u, v: (v <= 0.8) & (np.abs(u) <= (v + 0.95) / 1.75),
    "star": _star,
    "cross": lambda u, v: (
        (np.minimum(np.abs(u), np.abs(v)) <= 0.3) & (np.maximum(np.abs(u), np.abs(v)) <= 0.95)
    ),
    "ring": lambda u, v: (u * u + v * v <= 0.98) & (u * u + v * v >= 0.28),
}


@dataclass(frozen=True)
class Item:
    shape: str
    color: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Background:
    """Grey of brightness ``tone``, with a tint and a faint ``texture``: plain, gradient or stripes.
    ``strength`` is the texture's amplitude, ``angle`` its direction in radians."""

    tone: float = 128.0
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    texture: str = "plain"
    strength: float = 0.0
    angle: float = 0.0


@dataclass(frozen=True)
class Scene:
    items: tuple[Item, ...]
    background: Background = Background()


TEXTURES = ("plain", "gradient", "stripes")


@lru_cache
def _pixel_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(size) + 0.5) * SIDE / size
    return axis[None, :], axis[:, None]


def _paint_background(background: Background, size: int) -> np.ndarray:
    x, y = _pixel_grid(size)
    along = x * np.cos(background.angle) + y * np.sin(background.angle)
    if background.texture == "gradient":
        wave = along / SIDE - 0.5
    elif background.texture == "stripes":
        wave = np.sin(along * 0.7)
    else:
        wave = np.zeros((size, size))
    grey = background.tone + background.strength * wave
    return grey[..., None] + np.asarray(background.tint)


def coverage(item: Item, size: int = SIDE) -> tuple[slice, slice, np.ndarray]:
    """Rows, columns and the share of each of these pixels (0 to 1) that the item covers."""
    scale = size / SIDE
    low = np.floor([(item.y - item.radius) * scale, (item.x - item.radius) * scale]).astype(int)
    high = np.ceil([(item.y + item.radius) * scale, (item.x + item.radius) * scale]).astype(int)
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    rows, columns = (
        (np.arange(a * SUPERSAMPLING, b * SUPERSAMPLING) + 0.5) / (SUPERSAMPLING * scale)
        for a, b in zip(low, high, strict=True)
    )
    u = (columns[None, :] - item.x) / item.radius
    v = (rows[:, None] - item.y) / item.radius
    inside = SHAPES[item.shape](u, v)
    height, width = high - low
    share = inside.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING).mean(axis=(1, 3))
    return slice(low[0], high[0]), slice(low[1], high[1]), share


def render(scene: Scene, size: int = SIDE) -> np.ndarray:
    """The scene as (size, size, 3) uint8 RGB, edges antialiased."""
    image = _paint_background(scene.background, size)
    for item in scene.items:
        rows, columns, share = coverage(item, size)
        patch = image[rows, columns]
        patch += share[..., None] * (np.asarray(COLORS[item.color]) - patch)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def relations(a: Item, b: Item) -> set[str]:
    """How ``a`` is placed relative to ``b``, by GenEval's rule on their square boxes (see
    ``tasks/geneval/rules.py``)."""
    dx, dy = a.x - b.x, a.y - b.y
    distance = float(np.hypot(dx, dy))
    slack = 0.2 * (a.radius + b.radius)
    rx, ry = (max(abs(o) - slack, 0.0) * np.sign(o) for o in (dx, dy))
    found = set()
    if distance > 0:
        found |= {"left of"} if rx / distance < -0.5 else set()
        found |= {"right of"} if rx / distance > 0.5 else set()
        found |= {"above"} if ry / distance < -0.5 else set()
        found |= {"below"} if ry / distance > 0.5 else set()
    return found


def unseen(scene: Scene) -> bool:
    """Whether the scene shows a combination that was held out from training."""
    items = scene.items
    shapes = [item.shape for item in items]
    related = {
        (a.shape, name, b.shape)
        for a in items
        for b in items
        if a is not b and len(items) == 2
        for name in relations(a, b)
    }
    return bool(
        {(item.color, item.shape) for item in items} & UNSEEN_KINDS
        or {(shapes.count(shape), shape) for shape in shapes} & UNSEEN_COUNTS
        or related & UNSEEN_RELATIONS
    )


# -- layouts: how many objects, and roughly where --------------------------------------------

PAIR_LAYOUTS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "left of": ((16, 32), (48, 32)),
    "right of": ((48, 32), (16, 32)),
    "above": ((32, 16), (32, 48)),
    "below": ((32, 48), (32, 16)),
}
QUADRANTS = ((16, 16), (48, 16), (16, 48), (48, 48))
# How far a centre may move from its place in each direction, in pixels, by number of objects.
SPREAD = {1: 4.0, 2: 3.0, 3: 2.5, 4: 2.5}


def place(
    rng: np.random.Generator, count: int, relation: str | None = None
) -> list[tuple[float, float, float]]:
    """Centres and radii (x, y, radius) of ``count`` objects that do not touch.

    ``relation`` is how the first object is placed relative to the second. Raises ValueError unless
    there are 1 to 4 objects."""
    if not 1 <= count <= MAX_OBJECTS:
        raise ValueError(f"a scene holds 1 to {MAX_OBJECTS} objects, not {count}")
    spread = SPREAD[count]
    if count == 1:
        slots: Sequence[tuple[float, float]] = [(32, 32)]
    elif count == 2:
        slots = PAIR_LAYOUTS[relation or RELATIONS[rng.integers(4)]]
    else:
        slots = [QUADRANTS[i] for i in rng.permutation(4)[:count]]
    while True:
        placed = []
        for x, y in slots:
            radius = rng.choice(list(RADII.values())) * rng.uniform(0.94, 1.06)
            dx, dy = rng.uniform(-spread, spread, size=2)
            inside = (radius + 1, SIDE - radius - 1)
            placed.append(
                (float(np.clip(x + dx, *inside)), float(np.clip(y + dy, *inside)), radius)
            )
        pairs = [(a, b) for i, a in enumerate(placed) for b in placed[:i]]
        if all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= a[2] + b[2] + MIN_GAP for a, b in pairs):
            return placed


def sample_background(rng: np.random.Generator) -> Background:
    """A mid grey that cannot be confused with black, white or brown."""
    return Background(
        tone=float(rng.uniform(124, 160)),
        tint=(rng.uniform(-5, 5), rng.uniform(-5, 5), rng.uniform(-5, 5)),
        texture=TEXTURES[rng.integers(len(TEXTURES))],
        strength=4.0,
        angle=float(rng.uniform(0, np.pi)),
    )


def compose(
    rng: np.random.Generator,
    kinds: Sequence[tuple[str, str]],
    relation: str | None = None,
) -> Scene:
    """A scene of (shape, colour) objects. ``relation`` places the first relative to the second."""
    places = place(rng, len(kinds), relation)
    items = tuple(
        Item(shape, color, *where) for (shape, color), where in zip(kinds, places, strict=True)
    )
    return Scene(items, sample_background(rng))


def sample_scene(rng: np.random.Generator) -> Scene:
    """A random scene: one object, two objects, two to four of one shape, or three or four of any
    kind."""
    shapes, colors = list(SHAPES), list(COLORS)

    def kind() -> tuple[str, str]:
        return shapes[rng.integers(len(shapes))], colors[rng.integers(len(colors))]

    form = rng.choice(["one", "two", "same", "any"], p=[0.18, 0.46, 0.24, 0.12])
    if form == "one":
        return compose(rng, [kind()])
    if form == "two":
        first, second = kind(), kind()
        while second == first:
            second = kind()
        return compose(rng, [first, second])
    if form == "same":
        shape, color = kind()
        count = int(rng.integers(2, 5))
        one_color = rng.random() < 0.6
        picked = [(shape, color if one_color else kind()[1]) for _ in range(count)]
        return compose(rng, picked)
    return compose(rng, [kind() for _ in range(int(rng.integers(3, 5)))])


def scene_for(metadata: Mapping[str, Any], rng: np.random.Generator) -> Scene:
    """A scene that shows exactly what a GenEval-style metadata object asks for."""
    kinds: list[tuple[str, str]] = []
    relation = None
    colors = list(COLORS)
    for clause in metadata["include"]:
        color = clause.get("color") or colors[rng.integers(len(colors))]
        kinds += [(clause["class"], color)] * clause["count"]
        if "position" in clause:
            relation = OPPOSITE[clause["position"][0]]
    return compose(rng, kinds, relation)
