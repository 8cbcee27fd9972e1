"""Questions about a scene with their true answers, worded as in the benchmarks.

They ask for a short answer, for yes or no, or offer multiple choice, each with the sentence that
states the expected form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from harmon_eval.suites.mini.language import (
    DESCRIBE,
    NUMBERS,
    article,
    description,
    full_caption,
    main_relation,
    named,
    plural,
)
from harmon_eval.suites.mini.scenes import COLORS, OPPOSITE, RELATIONS, SHAPES, SIDE, Item, Scene

SHORT_ANSWER = "Answer the question using a single word or phrase."
LETTER_ANSWER = "Answer with the option's letter from the given choices directly."
YES_OR_NO = "Please answer yes or no."
LETTERS = "ABCD"
PLACES = {
    "left of": "on the left",
    "right of": "on the right",
    "above": "at the top",
    "below": "at the bottom",
}


@dataclass(frozen=True)
class Question:
    """``wrong`` holds wrong answers of the same kind, for multiple choice; empty for yes or no."""

    text: str
    answer: str
    wrong: tuple[str, ...] = ()


T = TypeVar("T")
Maker = Callable[[Scene, "np.random.Generator"], Question | None]


def _pick(values: Sequence[T], rng: np.random.Generator) -> T:
    return values[int(rng.integers(len(values)))]


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _others(answer: str, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for value in values if value != answer)


def _unique(scene: Scene, by: Callable[[Item], object]) -> list[Item]:
    """Items whose value of ``by`` no other item shares."""
    counts = Counter(map(by, scene.items))
    return [item for item in scene.items if counts[by(item)] == 1]


def describe(scene: Scene, rng: np.random.Generator) -> Question:
    return Question(DESCRIBE, description(scene))


def color(scene: Scene, rng: np.random.Generator) -> Question | None:
    if not (single := _unique(scene, lambda item: item.shape)):
        return None
    item = _pick(single, rng)
    wrong = _others(item.color, list(COLORS))
    return Question(f"What color is the {item.shape}?", item.color, wrong)


def shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    if not (single := _unique(scene, lambda item: item.color)):
        return None
    item = _pick(single, rng)
    wrong = _others(item.shape, list(SHAPES))
    return Question(f"What shape is the {item.color} object?", item.shape, wrong)


def count(scene: Scene, rng: np.random.Generator) -> Question:
    if rng.random() < 0.25:
        text, number = "How many objects are there?", len(scene.items)
    else:
        shown = [item.shape for item in scene.items]
        asked = _pick(list(SHAPES) if rng.random() < 0.2 else shown, rng)
        text = f"How many {plural(asked)} are there?"
        number = sum(item.shape == asked for item in scene.items)
    return Question(text, NUMBERS[number], _others(NUMBERS[number], NUMBERS))


def exists(scene: Scene, rng: np.random.Generator) -> Question:
    """Asks for a shape, a colour, or a coloured shape. Half of the absent coloured shapes combine a
    colour and a shape that are both in the scene."""
    truth = bool(rng.random() < 0.5)
    form = rng.random()
    if form < 0.35:
        shown = {item.shape for item in scene.items}
        asked = _pick([name for name in SHAPES if (name in shown) == truth], rng)
    elif form < 0.45:
        shown = {item.color for item in scene.items}
        asked = f"{_pick([name for name in COLORS if (name in shown) == truth], rng)} object"
    else:
        kinds = {(item.color, item.shape) for item in scene.items}
        asked = " ".join(_pick(sorted(kinds), rng) if truth else _absent_kind(kinds, rng))
    return Question(f"Is there {article(asked)} in the image?", _yes(truth))


def _absent_kind(shown: set[tuple[str, str]], rng: np.random.Generator) -> tuple[str, str]:
    colors, shapes = {c for c, _ in shown}, {s for _, s in shown}
    swapped = sorted((c, s) for c in colors for s in shapes if (c, s) not in shown)
    if swapped and rng.random() < 0.5:
        return _pick(swapped, rng)
    color, shape = _pick(sorted(shown), rng)
    while (color, shape) in shown:
        if rng.random() < 0.5:
            color = _pick(list(COLORS), rng)
        else:
            shape = _pick(list(SHAPES), rng)
    return color, shape


def _related(scene: Scene, rng: np.random.Generator) -> tuple[str, str, str, Item, Item] | None:
    """The names of two unique items with their relation between them, then the items."""
    bare = bool(rng.random() < 0.5)
    single = _unique(scene, lambda item: item.shape if bare else named(item))
    if len(single) < 2:
        return None
    i, j = rng.permutation(len(single))[:2]
    a, b = single[i], single[j]
    if (relation := main_relation(a, b)) is None:
        return None
    called = [item.shape if bare else named(item) for item in (a, b)]
    return called[0], relation, called[1], a, b


def relation(scene: Scene, rng: np.random.Generator) -> Question | None:
    if (found := _related(scene, rng)) is None:
        return None
    a, holds, b, _, _ = found
    truth = bool(rng.random() < 0.5)
    asked = holds if truth else OPPOSITE[holds]
    return Question(f"Is the {a} {asked} the {b}?", _yes(truth))


def beside(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Asked only about scenes with two objects, so that there is one answer."""
    if len(scene.items) != 2 or (found := _related(scene, rng)) is None:
        return None
    _, holds, b, item, _ = found
    wrong = _others(item.shape, list(SHAPES))
    return Question(f"What shape is {holds} the {b}?", item.shape, wrong)


def place(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Asks what is on one side (two objects) or in one corner (three or four objects)."""
    if len(scene.items) == 2:
        a, b = scene.items
        if (holds := main_relation(a, b)) is None:
            return None
        asked, item = (holds, a) if rng.random() < 0.5 else (OPPOSITE[holds], b)
        where, answer = PLACES[asked], article(named(item))
    elif len(scene.items) > 2:
        top, left = rng.random() < 0.5, rng.random() < 0.5
        where = f"at the {'top' if top else 'bottom'} {'left' if left else 'right'}"
        here = [i for i in scene.items if (i.y < SIDE / 2) == top and (i.x < SIDE / 2) == left]
        answer = article(named(here[0])) if here else "nothing"
    else:
        return None
    wrong = {article(f"{_pick(list(COLORS), rng)} {_pick(list(SHAPES), rng)}") for _ in range(8)}
    return Question(f"What is {where}?", answer, _others(answer, sorted(wrong)))


def count_holds(scene: Scene, rng: np.random.Generator) -> Question:
    asked = _pick(scene.items, rng).shape
    number = sum(item.shape == asked for item in scene.items)
    truth = number > 1 and rng.random() < 0.5
    shown = number if truth else _pick([n for n in (2, 3, 4) if n != number], rng)
    return Question(f"Are there {NUMBERS[shown]} {plural(asked)} in the image?", _yes(truth))


def color_holds(scene: Scene, rng: np.random.Generator) -> Question | None:
    if (question := color(scene, rng)) is None:
        return None
    name = question.text.removeprefix("What color is the ").rstrip("?")
    truth = bool(rng.random() < 0.5)
    present = [item.color for item in scene.items if item.color != question.answer]
    wrong = present if present and rng.random() < 0.5 else question.wrong
    asked = question.answer if truth else _pick(wrong, rng)
    return Question(f"Is the {name} {asked}?", _yes(truth))


MAKERS: dict[Maker, float] = {
    describe: 0.14,
    color: 0.10,
    shape: 0.07,
    count: 0.10,
    exists: 0.17,
    relation: 0.18,
    beside: 0.06,
    place: 0.06,
    count_holds: 0.06,
    color_holds: 0.06,
}
CHOICES: tuple[Maker, ...] = (color, shape, count, beside, place)  # answers with alternatives
COLORED = [article(f"{color} {shape}") for color in COLORS for shape in SHAPES]
ABOUT_PLACES: tuple[Maker, ...] = (relation, beside, place)


def multiple_choice(
    question: Question, rng: np.random.Generator, parentheses: bool = False
) -> tuple[str, str]:
    """The question with four options (at times three), one of them right, and its letter."""
    number = 3 if rng.random() < 0.1 else 4
    wrong = [question.wrong[i] for i in rng.choice(len(question.wrong), number - 1, replace=False)]
    right = int(rng.integers(number))
    options = [*wrong[:right], question.answer, *wrong[right:]]
    mark = "({})" if parentheses else "{}."
    lines = [f"{mark.format(letter)} {o}" for letter, o in zip(LETTERS, options, strict=False)]
    return "\n".join([question.text, *lines, LETTER_ANSWER]), LETTERS[right]


def phrased(
    question: Question, rng: np.random.Generator, lettered: float = 0.25
) -> list[tuple[str, str]]:
    """A question worded as in a benchmark, and the answer in the form it asks for.

    A share ``lettered`` of the questions with wrong answers offers options. Half of these follow
    the same question without options, so that the model learns the answer in words first."""
    form, plain = rng.random(), (question.text, question.answer)
    if question.text == DESCRIBE:
        return [plain]
    if len(question.wrong) >= 3 and form < lettered:
        choice = multiple_choice(question, rng, parentheses=bool(rng.random() < 0.25))
        return [plain, choice] if rng.random() < 0.5 else [choice]
    if rng.random() < 0.4:
        return [plain]
    if not question.wrong and rng.random() < 0.3:
        return [(f"{question.text} {YES_OR_NO}", question.answer)]
    return [(f"{question.text}\n{SHORT_ANSWER}", question.answer)]


def questions(
    scene: Scene,
    rng: np.random.Generator,
    number: int = 3,
    without: Sequence[Maker] = (),
    lettered: float = 0.25,
) -> list[tuple[str, str]]:
    """``number`` question-answer turns about the scene, with yes and no about equally often."""
    makers = [maker for maker in MAKERS if maker not in without]
    weights = np.array([MAKERS[maker] for maker in makers])
    turns: list[tuple[str, str]] = []
    while len(turns) < number:
        maker = makers[rng.choice(len(makers), p=weights / weights.sum())]
        if question := maker(scene, rng):
            turns += phrased(question, rng, lettered)
    return turns[:number]


def lettered_only(
    scene: Scene, rng: np.random.Generator, number: int = 3, without: Sequence[Maker] = ()
) -> list[tuple[str, str]]:
    """``number`` turns about the scene, all multiple choice, as MMBench asks: a letter is the only
    answer, and no turn before gives it away in words."""
    makers = [maker for maker in CHOICES if maker not in without]
    weights = np.array([MAKERS[maker] for maker in makers])
    turns: list[tuple[str, str]] = []
    while len(turns) < number:
        question = makers[rng.choice(len(makers), p=weights / weights.sum())](scene, rng)
        if question and len(question.wrong) >= 3:
            turns.append(multiple_choice(question, rng, parentheses=bool(rng.random() < 0.25)))
    return turns


def matched(rng: np.random.Generator, number: int = 3) -> list[tuple[str, str]]:
    """``number`` turns that need neither scene nor image: a hint is one of the options, and the
    answer is its letter."""
    turns = []
    for _ in range(number):
        words = _pick((list(COLORS), list(SHAPES), list(NUMBERS), COLORED), rng)
        answer = _pick(words, rng)
        asked = Question(f"Hint: {answer}", answer, _others(answer, words))
        turns.append(multiple_choice(asked, rng, parentheses=bool(rng.random() < 0.25)))
    return turns


def told(
    scene: Scene,
    rng: np.random.Generator,
    number: int = 3,
    lettered: float = 0.25,
    drilled: bool = False,
) -> list[tuple[str, str]]:
    """Turns that need no image: words describe the scene, as a prompt or before a question.

    The questions ask only about what the words say. ``drilled``: only multiple choice."""
    caption = full_caption(scene, rng)
    kinds = {(item.shape, item.color) for item in scene.items}
    ordered = len(kinds) == 1 or any(relation in caption for relation in RELATIONS)
    hidden: tuple[Maker, ...] = () if any(r in caption for r in RELATIONS) else ABOUT_PLACES
    without = hidden if ordered else (*hidden, describe)
    if drilled:
        (first, answer), *turns = lettered_only(scene, rng, number, without)
        return [(f"{caption}\n{first}", answer), *turns]
    turns = questions(scene, rng, number, without, lettered)
    if ordered and rng.random() < 0.4:
        return [(f"Generate an image: {caption}", description(scene)), *turns[1:]]
    first, answer = turns[0]
    return [(f"{caption}\n{first}", answer), *turns[1:]]
