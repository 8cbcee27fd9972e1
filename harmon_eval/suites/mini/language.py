"""What can be said and asked about a scene, in GenEval's sentence pattern and in full.

Every sentence is true of its scene; all words are in ``VOCABULARY``.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from harmon_eval.suites.mini.scenes import (
    COLORS,
    OPPOSITE,
    RELATIONS,
    SHAPES,
    Item,
    Scene,
    relations,
)

NUMBERS = ("zero", "one", "two", "three", "four")
DESCRIBE = "Describe the image."


def plural(name: str) -> str:
    """GenEval's rule: "es" after a final s, else "s"."""
    return name + ("es" if name.endswith("s") else "s")


VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {
            *[
                "generate",
                "an",
                "image",
                "describe",
                "the",
                "a",
                "photo",
                "of",
                "and",
                "in",
                "is",
                "there",
                "how",
                "many",
                "are",
                "what",
                "color",
                "shape",
                "object",
                "objects",
                "yes",
                "no",
                "user",
                "assistant",
            ],
            *NUMBERS,
            *COLORS,
            *SHAPES,
            *map(plural, SHAPES),
            *(word for relation in RELATIONS for word in relation.split()),
            *(".", ",", ":", "?"),
        }
    )
)


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def named(item: Item) -> str:
    return f"{item.color} {item.shape}"


def enumeration(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def description(scene: Scene) -> str:
    """The whole scene in one fixed wording, objects from top left to bottom right."""
    items = sorted(scene.items, key=lambda item: (round(item.y / 24), item.x))
    if len({(item.shape, item.color) for item in items}) == 1 and len(items) > 1:
        return f"{NUMBERS[len(items)]} {items[0].color} {plural(items[0].shape)}"
    if len(items) == 2 and (relation := main_relation(*items)):
        return f"{article(named(items[0]))} {relation} {article(named(items[1]))}"
    return enumeration([article(named(item)) for item in items])


def main_relation(a: Item, b: Item) -> str | None:
    """The one relation of a to b, where exactly one holds."""
    found = relations(a, b)
    return found.pop() if len(found) == 1 else None


def geneval_captions(scene: Scene) -> list[str]:
    """All captions of GenEval's six tags that this scene answers exactly."""
    items, shapes = scene.items, {item.shape for item in scene.items}
    if len(items) == 1:
        item = items[0]
        return [f"a photo of {article(item.shape)}", f"a photo of {article(named(item))}"]
    captions = []
    if len(shapes) == 1:
        captions.append(f"a photo of {NUMBERS[len(items)]} {plural(items[0].shape)}")
    if len(items) == 2 and len(shapes) == 2:
        for a, b in (items, items[::-1]):
            captions.append(f"a photo of {article(a.shape)} and {article(b.shape)}")
            captions.append(f"a photo of {article(named(a))} and {article(named(b))}")
            captions += [
                f"a photo of {article(a.shape)} {relation} {article(b.shape)}"
                for relation in sorted(relations(a, b))
            ]
    return captions


def caption(scene: Scene, rng: np.random.Generator, full_share: float = 0.5) -> str:
    """A training caption: in full for ``full_share`` of scenes, or where GenEval has no pattern."""
    short = geneval_captions(scene)
    if short and rng.random() >= full_share:
        # Attributes and sides are the hard part: say them as often as bare names.
        return short[rng.integers(len(short))]
    items = list(scene.items)
    if len(items) == 2 and (relation := main_relation(*items)):
        a, b = items
        if rng.random() < 0.5:
            a, b, relation = b, a, OPPOSITE[relation]
        full = f"{article(named(a))} {relation} {article(named(b))}"
    elif len({(item.shape, item.color) for item in items}) == 1:
        full = description(scene)
    else:
        full = enumeration([article(named(items[i])) for i in rng.permutation(len(items))])
    return f"a photo of {full}"


def questions(scene: Scene, rng: np.random.Generator, count: int = 3) -> list[tuple[str, str]]:
    """Question-answer turns about the scene; yes and no equally often, negatives hard."""
    makers = (_describe, _color, _count, _exists, _relation)
    weights = np.array([0.3, 0.15, 0.15, 0.22, 0.18])
    turns: list[tuple[str, str]] = []
    while len(turns) < count:
        turn = makers[rng.choice(len(makers), p=weights)](scene, rng)
        if turn:
            turns.append(turn)
    return turns


def _pick(values: list[Item], rng: np.random.Generator) -> Item:
    return values[rng.integers(len(values))]


def _describe(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    return DESCRIBE, description(scene)


def _color(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    counts = Counter(item.shape for item in scene.items)
    single = [item for item in scene.items if counts[item.shape] == 1]
    if not single:
        return None
    item = _pick(single, rng)
    return f"What color is the {item.shape}?", item.color


def _count(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    if rng.random() < 0.25:
        return "How many objects are there?", NUMBERS[len(scene.items)]
    shape = _pick(list(scene.items), rng).shape
    number = sum(item.shape == shape for item in scene.items)
    return f"How many {plural(shape)} are there?", NUMBERS[number]


def _exists(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    shown = {(item.color, item.shape) for item in scene.items}
    color, shape = sorted(shown)[rng.integers(len(shown))]
    answer = "yes"
    if rng.random() < 0.5:
        answer = "no"
        colors, shapes = sorted({c for c, _ in shown}), sorted({s for _, s in shown})
        swapped = [(c, s) for c in colors for s in shapes if (c, s) not in shown]
        if swapped and rng.random() < 0.5:
            color, shape = swapped[rng.integers(len(swapped))]
        while (color, shape) in shown:
            if rng.random() < 0.5:
                color = list(COLORS)[rng.integers(len(COLORS))]
            else:
                shape = list(SHAPES)[rng.integers(len(SHAPES))]
    return f"Is there {article(f'{color} {shape}')} in the image?", answer


def _relation(scene: Scene, rng: np.random.Generator) -> tuple[str, str] | None:
    counts = Counter((item.shape, item.color) for item in scene.items)
    single = [item for item in scene.items if counts[item.shape, item.color] == 1]
    if len(single) < 2:
        return None
    i, j = rng.permutation(len(single))[:2]
    a, b = single[i], single[j]
    relation = main_relation(a, b)
    if relation is None:
        return None
    truth = rng.random() < 0.5
    asked = relation if truth else OPPOSITE[relation]
    return f"Is the {named(a)} {asked} the {named(b)}?", "yes" if truth else "no"
