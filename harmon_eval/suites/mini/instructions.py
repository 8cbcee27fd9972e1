"""What an instruction to edit a scene demands, in several wordings of each demand.

One list of wordings serves both ways: ``word`` fills them in, ``read`` recognises them. Some
wordings are held back from training, so that paraphrases can be measured apart. The words that
the old vocabulary lacks are ``NEW_WORDS``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harmon_eval.suites.mini.language import NUMBERS, VOCABULARY, article, plural
from harmon_eval.suites.mini.scenes import COLORS, SHAPES

REPEAT = "Repeat this image."  # what guidance pushes away from, as in UniPic-1
CORNERS = ("top left", "top right", "bottom left", "bottom right")  # in the order of QUADRANTS
Named = tuple[str, str]  # colour and shape


@dataclass(frozen=True)
class Demand:
    """One change. ``action`` is one of ``SINGLE``.

    ``old`` is the object to change, ``new`` what is to be there instead, each as (colour, shape);
    add has only ``new``. ``corner`` indexes QUADRANTS (add, move), ``count`` is the number of
    ``old`` wanted, ``up`` means larger (resize) or lighter (background)."""

    action: str
    old: Named | None = None
    new: Named | None = None
    corner: int | None = None
    count: int | None = None
    up: bool | None = None


# Placeholders: old and new are a colour and a shape, an_ puts the article before it, many is a
# number with objects. The forms of the second list are held back from training.
FORMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "recolour": (
        (
            "Make the {old} {color}.",
            "Change the color of the {old} to {color}.",
            "Turn the {old} {color}.",
            "Paint the {old} {color}.",
            "The {old} should be {color}.",
        ),
        ("Change the {old} to {color}.", "Make the color of the {old} {color}."),
    ),
    "add": (
        (
            "Add {an_new} at the {corner}.",
            "Put {an_new} at the {corner}.",
            "Paint {an_new} at the {corner}.",
        ),
        ("There should be {an_new} at the {corner}.", "Add {an_new} to the {corner}."),
    ),
    "remove": (
        ("Remove the {old}.", "Delete the {old}.", "Take the {old} away."),
        ("Take away the {old}.", "There should be no {old}."),
    ),
    "move": (
        (
            "Move the {old} to the {corner}.",
            "Put the {old} at the {corner}.",
            "Take the {old} to the {corner}.",
        ),
        ("The {old} should be at the {corner}.", "Put the {old} on the {corner}."),
    ),
    "resize": (
        (
            "Make the {old} {size}.",
            "{Resize} the {old}.",
            "Change the {old} into a {size} one.",
        ),
        ("The {old} should be {size}.", "Replace the {old} with a {size} one."),
    ),
    "replace": (
        (
            "Replace the {old} with {an_new}.",
            "Change the {old} into {an_new}.",
            "Turn the {old} into {an_new}.",
        ),
        ("Change the {old} to {an_new}.", "Make the {old} into {an_new}."),
    ),
    "reshape": (
        (
            "Turn the {old} into {a_shape}.",
            "Make the {old} {a_shape}.",
            "Change the {old} into {a_shape}.",
        ),
        ("The {old} should be {a_shape}.", "Replace the {old} with {a_shape}."),
    ),
    "background": (
        (
            "Make the background {tone}.",
            "{Retone} the background.",
            "Change the background to a {tone} one.",
            "Paint the background {tone}.",
        ),
        ("The background should be {tone}.", "Turn the background {tone}."),
    ),
    "number": (
        (
            "Change the number of {olds} to {count}.",
            "There should be {many}.",
            "Make the number of {olds} {count}.",
        ),
        ("The number of {olds} should be {count}.", "Change the image to {many}."),
    ),
}
SINGLE = tuple(action for action in FORMS if action != "reshape")
JOINTS, HELD_JOINTS = (" and ", ", and "), (". ",)
# Instructions in the imperative can be joined. The others would read badly.
JOINABLE = ("recolour", "add", "remove", "move", "resize", "replace", "background")

_SIZES, _RESIZES = ("smaller", "larger"), ("Shrink", "Enlarge")
_TONES, _RETONES = ("darker", "lighter"), ("Darken", "Brighten")


# -- writing ---------------------------------------------------------------------------------


def _fillings(demand: Demand) -> dict[str, str]:
    """What stands for each placeholder."""
    values: dict[str, str] = {}
    if demand.old:
        values |= {"old": " ".join(demand.old), "olds": plural(" ".join(demand.old))}
    if demand.new:
        color, shape = demand.new
        values |= {"an_new": article(f"{color} {shape}"), "color": color, "a_shape": article(shape)}
    if demand.corner is not None:
        values["corner"] = CORNERS[demand.corner]
    if demand.count is not None and demand.old:
        number = NUMBERS[demand.count]
        named = values["old"] if demand.count == 1 else values["olds"]
        values |= {"count": number, "many": f"{number} {named}"}
    if demand.up is not None:
        values |= {"size": _SIZES[demand.up], "Resize": _RESIZES[demand.up]}
        values |= {"tone": _TONES[demand.up], "Retone": _RETONES[demand.up]}
    return values


def _form_of(demand: Demand) -> str:
    """A replacement that keeps the colour may name the shape alone."""
    same_color = demand.old and demand.new and demand.old[0] == demand.new[0]
    return "reshape" if demand.action == "replace" and same_color else demand.action


def _pick(values: Sequence[str], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]


def word(demands: Sequence[Demand], rng: np.random.Generator, held_back: bool = False) -> str:
    """An instruction for one demand, or for two joined to a sentence.

    ``held_back`` takes the wordings that training never shows: of a single demand the sentence, of
    two the way they are joined."""
    texts = []
    for demand in demands:
        forms = FORMS[_form_of(demand)][held_back and len(demands) == 1]
        if len(demands) > 1:
            forms = tuple(form for form in forms if not form.startswith("The"))
        texts.append(_pick(forms, rng).format_map(_fillings(demand)))
    if len(texts) == 1:
        return texts[0]
    first, second = texts
    joint = _pick(HELD_JOINTS if held_back else JOINTS, rng)
    if joint != ". ":
        second = second[0].lower() + second[1:]
    return first.removesuffix(".") + joint + second


# -- reading ---------------------------------------------------------------------------------

_COLOR, _SHAPE = "|".join(COLORS), "|".join(SHAPES)
_MANY_SHAPES = "|".join(f"{plural(shape)}|{shape}" for shape in SHAPES)
_NUMBER = "|".join(NUMBERS)
_PATTERNS: Mapping[str, str] = {
    "old": rf"(?P<old_color>{_COLOR}) (?P<old_shape>{_SHAPE})",
    "olds": rf"(?P<old_color>{_COLOR}) (?P<old_shape>{_MANY_SHAPES})",
    "an_new": rf"an? (?P<new_color>{_COLOR}) (?P<new_shape>{_SHAPE})",
    "color": rf"(?P<new_color>{_COLOR})",
    "a_shape": rf"an? (?P<new_shape>{_SHAPE})",
    "corner": rf"(?P<corner>{'|'.join(CORNERS)})",
    "count": rf"(?P<count>{_NUMBER})",
    "many": rf"(?P<count>{_NUMBER}) (?P<old_color>{_COLOR}) (?P<old_shape>{_MANY_SHAPES})",
    "size": rf"(?P<up>{'|'.join(_SIZES)})",
    "Resize": rf"(?P<up>{'|'.join(_RESIZES)})",
    "tone": rf"(?P<up>{'|'.join(_TONES)})",
    "Retone": rf"(?P<up>{'|'.join(_RETONES)})",
}
_UP = {"larger", "enlarge", "lighter", "brighten"}
_JOINT = re.compile("|".join(re.escape(j) for j in sorted((*JOINTS, *HELD_JOINTS), key=len)[::-1]))


@lru_cache
def _readers() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """One regular expression a form."""
    return tuple(
        (action, re.compile(_pattern(form), re.IGNORECASE))
        for action, lists in FORMS.items()
        for forms in lists
        for form in forms
    )


def _pattern(form: str) -> str:
    parts = re.split(r"\{(\w+)\}", form.removesuffix("."))
    return "".join(_PATTERNS[p] if i % 2 else re.escape(p) for i, p in enumerate(parts))


def read(instruction: str) -> tuple[Demand, ...]:
    """The demands of an instruction, one or two; empty if it is none of the wordings known here."""
    text = " ".join(instruction.split()).removesuffix(".")
    single = _read_single(text)
    if single:
        return (single,)
    first, _, second = (*_split(text), "", "")[:3]
    demands = [_read_single(part) for part in (first, second)]
    return tuple(d for d in demands if d) if all(demands) else ()


def _split(text: str) -> tuple[str, ...]:
    found = _JOINT.search(text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text,)


def _read_single(text: str) -> Demand | None:
    for action, pattern in _readers():
        if match := pattern.fullmatch(text):
            return _demand(action, {k: v.lower() for k, v in match.groupdict().items()})
    return None


def _demand(action: str, found: Mapping[str, str]) -> Demand:
    singular = {plural(shape): shape for shape in SHAPES}
    old: Named | None = None
    new: Named | None = None
    if "old_color" in found:
        shape = found["old_shape"]
        old = (found["old_color"], singular.get(shape, shape))
    if "new_color" in found or "new_shape" in found:
        color, shape = old or ("", "")
        new = (found.get("new_color", color), found.get("new_shape", shape))
    return Demand(
        "replace" if action == "reshape" else action,
        old,
        new,
        CORNERS.index(found["corner"]) if "corner" in found else None,
        NUMBERS.index(found["count"]) if "count" in found else None,
        found["up"] in _UP if "up" in found else None,
    )


# -- vocabulary ------------------------------------------------------------------------------


def _words() -> set[str]:
    forms = [form for lists in FORMS.values() for forms in lists for form in forms]
    lowered = [f[0].lower() + f[1:] for a in JOINABLE for f in FORMS[a][0] if f[0] != "{"]
    reworded = [w.lower() for w in (*_RESIZES, *_RETONES)]
    texts = [*forms, *lowered, *reworded, *_SIZES, *_RESIZES, *_TONES, *_RETONES]
    texts.append(REPEAT)
    return set(re.findall(r"[A-Za-z]+", re.sub(r"\{\w+\}", "", " ".join(texts))))


# Appended to the old vocabulary in this order, whose ids stay as they are.
NEW_WORDS: tuple[str, ...] = tuple(sorted(_words() - set(VOCABULARY)))
