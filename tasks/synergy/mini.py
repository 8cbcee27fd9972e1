"""Concepts about shapes, with images and questions, in the format of ``synergy.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval.suites.mini import questions
from harmon_eval.suites.mini.language import NUMBERS, plural
from harmon_eval.suites.mini.questions import Question
from harmon_eval.suites.mini.quiz import picture
from harmon_eval.suites.mini.scenes import COLORS, OPPOSITE, SHAPES, Scene, scene_for
from harmon_eval.tasks.geneval import prompts

SEED = 2503
PICTURES = 4  # an even number, so that relations get as many yes as no answers
COLORED, RELATED = 24, 32
Item = dict[str, Any]
Maker = Callable[[Scene, "np.random.Generator"], Question | None]


def concepts(rng: np.random.Generator) -> list[Item]:
    """All objects and counts, some coloured objects and relations: 6 + 18 + 24 + 32 concepts.

    No relation appears again in its opposite form."""
    kinds = [(shape, color) for shape in SHAPES for color in COLORS]
    pairs = [
        (a, side, b) for a in SHAPES for b in SHAPES if a != b for side in ("left of", "above")
    ]
    items = [prompts.single(shape) for shape in SHAPES]
    items += [prompts.counting(shape, count) for shape in SHAPES for count in (2, 3, 4)]
    chosen = rng.choice(len(kinds), COLORED, replace=False)
    items += [prompts.colors(*kinds[i]) for i in sorted(chosen)]
    for i in sorted(rng.choice(len(pairs), RELATED, replace=False)):
        a, side, b = pairs[i]
        items.append(
            prompts.position(a, side, b)
            if rng.random() < 0.5
            else prompts.position(b, OPPOSITE[side], a)
        )
    return items


def asked_about(item: Item, k: int) -> tuple[Maker, str, list[str]]:
    """The maker of the k-th question about a concept, how the question must start, and the accepted
    answers."""
    last = item["include"][-1]
    if item["tag"] == "single_object":
        return questions.shape, "What shape is the ", [last["class"]]
    if item["tag"] == "counting":
        count = last["count"]
        return questions.count, f"How many {plural(last['class'])} ", [NUMBERS[count], str(count)]
    if "color" in last:
        return questions.color, f"What color is the {last['class']}?", [last["color"]]
    holds, answer = (last["position"][0], "yes") if k % 2 == 0 else ("", "no")
    return questions.relation, f"Is the {last['class']} {holds}", [answer]


def shown_and_asked(item: Item, k: int, rng: np.random.Generator) -> tuple[Scene, Item]:
    """A scene that shows the concept, and a question about what the concept names."""
    maker, start, answers = asked_about(item, k)
    while True:
        scene = scene_for(item, rng)
        question = maker(scene, rng)
        if question and question.text.startswith(start) and question.answer == answers[0]:
            return scene, {"question": question.text, "answers": answers}


def make(folder: Path) -> None:
    lines = []
    for index, item in enumerate(concepts(np.random.default_rng(SEED))):
        shown = []
        for k in range(PICTURES):
            scene, asked = shown_and_asked(item, k, np.random.default_rng((SEED, index, k)))
            name = f"images/{index:05d}_{k}.png"
            picture(scene, folder / name)
            shown.append({"image": name, **asked})
        lines.append(json.dumps({**item, "shown": shown}) + "\n")
    (folder / "synergy.jsonl").write_text("".join(lines))
