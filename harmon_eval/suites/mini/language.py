"""Captions for a scene, in GenEval's sentence pattern and as full descriptions.

Every caption is true of its scene, and all words are in ``VOCABULARY``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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


# The words of prompts, questions and answers. Case matters: "A" is an option, "a" an article.
WORDING = """
    Generate an image Describe the a photo of and in is there are object objects user assistant
    How many What color shape Is Are yes no on at top bottom nothing only this picture
    Answer question using single word or phrase Please answer Question Hint Options
    with option s letter from given choices directly A B C D
"""
VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {
            *re.findall(r"\w+", WORDING),
            *NUMBERS,
            *COLORS,
            *SHAPES,
            *map(plural, SHAPES),
            *(word for relation in RELATIONS for word in relation.split()),
            *".,:?'()",
        }
    )
)


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def shaped(item: Item) -> str:
    return item.shape


def named(item: Item) -> str:
    return f"{item.color} {item.shape}"


def enumeration(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def in_reading_order(items: Sequence[Item]) -> list[Item]:
    """From left to right in rows from top to bottom."""
    return sorted(items, key=lambda item: (round(item.y / 24), item.x))


def description(scene: Scene) -> str:
    """The whole scene in one fixed wording, with objects in reading order."""
    items = in_reading_order(scene.items)
    if len({(item.shape, item.color) for item in items}) == 1 and len(items) > 1:
        return f"{NUMBERS[len(items)]} {items[0].color} {plural(items[0].shape)}"
    if len(items) == 2 and (relation := main_relation(*items)):
        return f"{article(named(items[0]))} {relation} {article(named(items[1]))}"
    return enumeration([article(named(item)) for item in items])


def main_relation(a: Item, b: Item) -> str | None:
    """The relation of a to b, if exactly one holds."""
    found = relations(a, b)
    return found.pop() if len(found) == 1 else None


def geneval_captions(scene: Scene) -> list[str]:
    """All captions of GenEval's six tags that this scene matches exactly."""
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


def caption(
    scene: Scene, rng: np.random.Generator, full_share: float = 0.5, open_share: float = 0.0
) -> str:
    """A training caption, either in GenEval's pattern or a full description.

    ``full_share`` of the scenes, and all scenes for which GenEval has no pattern, get a full one.
    Before that, ``open_share`` of the scenes with two different shapes get a caption that does not
    say where they are. Objects whose place is not stated are named in reading order, as people do:
    the model then learns much sooner which colour belongs to which shape."""
    items = in_reading_order(scene.items)
    ordered = [
        f"a photo of {enumeration([article(name(item)) for item in items])}"
        for name in (shaped, named)
    ]
    pair = len({item.shape for item in items}) == len(items) == 2
    if pair and rng.random() < open_share:
        return ordered[int(rng.random() < 0.75)]
    short = [text for text in geneval_captions(scene) if " and " not in text or text in ordered]
    if short and rng.random() >= full_share:
        # Matching colours to shapes, and sides, are hard to learn, so they appear more often.
        weights = np.array([0.5 if _bare(text) else 1.5 for text in short])
        return short[rng.choice(len(short), p=weights / weights.sum())]
    return full_caption(scene, rng)


def _bare(text: str) -> bool:
    """Whether the text names only shapes: no colour and no relation."""
    return not set(text.split()) & {*COLORS, "left", "right", "above", "below"}


def full_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Every object with its colour; for two objects their relation, stated from either side."""
    items = list(scene.items)
    if len(items) == 2 and (relation := main_relation(*items)):
        a, b = items
        if rng.random() < 0.5:
            a, b, relation = b, a, OPPOSITE[relation]
        full = f"{article(named(a))} {relation} {article(named(b))}"
    elif len({(item.shape, item.color) for item in items}) == 1:
        full = description(scene)
    else:
        full = enumeration([article(named(item)) for item in in_reading_order(items)])
    return f"a photo of {full}"
