"""Questions about scenes: every answer is the true one, by an independent reading of the words."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harmon_eval.suites.mini import questions, scenes
from harmon_eval.suites.mini.language import DESCRIBE, NUMBERS, description, plural
from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES, Item, Scene

seeds = st.integers(0, 2**32 - 1)
RELATION = "|".join(RELATIONS)
PLURALS = {plural(shape): shape for shape in SHAPES}


def scene_of(seed: int) -> Scene:
    return scenes.sample_scene(np.random.default_rng(seed))


def called(scene: Scene, words: str) -> list[Item]:
    """Items that fit words such as "circle", "red circle", "red object" or "an orange ring"."""
    wanted = set(words.split()) - {"a", "an", "object"}
    return [item for item in scene.items if wanted <= {item.color, item.shape}]


def true_answer(scene: Scene, text: str) -> str:
    if text == DESCRIBE:
        return description(scene)
    if match := re.fullmatch(r"Is there (.+) in the image\?", text):
        return "yes" if called(scene, match[1]) else "no"
    if match := re.fullmatch(r"How many (\w+) are there\?", text):
        name = match[1]
        return NUMBERS[
            sum(name == "objects" or item.shape == PLURALS[name] for item in scene.items)
        ]
    if match := re.fullmatch(r"Are there (\w+) (\w+) in the image\?", text):
        number = sum(item.shape == PLURALS[match[2]] for item in scene.items)
        return "yes" if NUMBERS[number] == match[1] else "no"
    if match := re.fullmatch(r"What color is the (\w+)\?", text):
        (item,) = called(scene, match[1])
        return item.color
    if match := re.fullmatch(r"What shape is the (\w+) object\?", text):
        (item,) = called(scene, match[1])
        return item.shape
    if match := re.fullmatch(rf"Is the (.+) ({RELATION}) the (.+)\?", text):
        (a,), (b,) = called(scene, match[1]), called(scene, match[3])
        return "yes" if match[2] in scenes.relations(a, b) else "no"
    if match := re.fullmatch(rf"What shape is ({RELATION}) the (.+)\?", text):
        (b,) = called(scene, match[2])
        (a,) = (item for item in scene.items if item is not b)
        assert match[1] in scenes.relations(a, b)
        return a.shape
    if match := re.fullmatch(r"Is the (\w+) (\w+)\?", text):
        (item,) = called(scene, match[1])
        return "yes" if item.color == match[2] else "no"
    match = re.fullmatch(r"What is (?:at the|on the) (.+)\?", text)
    assert match, text
    return standing(scene, match[1])


def standing(scene: Scene, place: str) -> str:
    items = list(scene.items)
    for word in place.split():
        axis, low = ("x" if word in ("left", "right") else "y"), word in ("left", "top")
        middle = np.mean([getattr(i, axis) for i in items]) if len(scene.items) == 2 else 32
        items = [i for i in items if (getattr(i, axis) < middle) == low]
    if not items:
        return "nothing"
    (item,) = items
    return ("an " if item.color[0] in "aeiou" else "a ") + f"{item.color} {item.shape}"


@given(seeds)
@settings(max_examples=150)
def test_every_answer_is_true(seed: int) -> None:
    scene, rng = scene_of(seed), np.random.default_rng(seed)
    for maker in questions.MAKERS:
        if question := maker(scene, rng):
            assert question.answer == true_answer(scene, question.text)
            assert question.answer not in question.wrong


@given(seeds)
@settings(max_examples=80)
def test_multiple_choice_has_three_or_four_options_and_the_letter_of_the_right_one(
    seed: int,
) -> None:
    scene, rng = scene_of(seed), np.random.default_rng(seed)
    question = questions.count(scene, rng)
    text, letter = questions.multiple_choice(question, rng, parentheses=bool(seed % 2))
    options = dict(re.findall(r"^\(?([A-D])[.)] (.+)$", text, re.MULTILINE))
    assert sorted(options) in (list("ABC"), list("ABCD"))
    assert len(set(options.values())) == len(options)
    assert options[letter] == question.answer
    assert text.endswith(questions.LETTER_ANSWER)


def test_lettered_questions_come_as_often_as_asked_some_after_the_answer_in_words() -> None:
    rng = np.random.default_rng(0)
    question = questions.Question("What color is the ring?", "red", ("blue", "green", "pink"))
    asked = [questions.phrased(question, rng, lettered=0.6) for _ in range(800)]
    lettered = [turns for turns in asked if turns[-1][0].endswith(questions.LETTER_ANSWER)]
    before = [turns[0] for turns in lettered if len(turns) == 2]
    assert 0.5 < len(lettered) / len(asked) < 0.7
    assert 0.4 < len(before) / len(lettered) < 0.6
    assert set(before) == {(question.text, question.answer)}
    assert len(questions.questions(scene_of(1), rng, 3, lettered=1.0)) == 3


@given(seeds)
@settings(max_examples=80)
def test_what_is_told_suffices_for_the_answers(seed: int) -> None:
    """Two pictures of the same words have the same true answers to what is asked of the words."""
    scene, rng = scene_of(seed), np.random.default_rng(seed)
    (first, answer), *rest = questions.told(scene, rng, 4)
    told_order = any(f" {relation} " in first.split("\n")[0] for relation in RELATIONS)
    for text, _ in rest:
        if not told_order:
            assert not re.search(RELATION, text) and "What is" not in text
    if first.startswith("Generate an image: "):
        assert answer == description(scene)


def test_yes_and_no_are_about_equally_often_right() -> None:
    rng = np.random.default_rng(0)
    turns = [turn for seed in range(600) for turn in questions.questions(scene_of(seed), rng, 3)]
    yes, no = (sum(answer == word for _, answer in turns) for word in ("yes", "no"))
    assert 0.4 < yes / (yes + no) < 0.6
    assert set(COLORS) <= {answer for _, answer in turns}
