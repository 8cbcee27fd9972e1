"""The mini suite's judge: fixed rules on what its detector and its colour namer find.

It stands where WISE has GPT-4o and DPG-Bench has mPLUG, reads the same requests and answers in the
same forms; of the scene it knows only what the request says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harmon_eval.core import Ask, Responder, Score
from harmon_eval.files.images import read_rgb
from harmon_eval.instruments.judge import _edits
from harmon_eval.instruments.judging import Judge
from harmon_eval.replies.probabilities import First, Whole
from harmon_eval.suites.mini.colors import ColorNamer
from harmon_eval.suites.mini.detector import ShapeDetector, background_color
from harmon_eval.suites.mini.language import NUMBERS, plural
from harmon_eval.suites.mini.scenes import COLORS, RELATIONS, SHAPES, Item, relations

CLEAR, COUNTS = 0.9, 0.3  # detector scores: a clear object, and one that counts at all
_SHAPE = "|".join(sorted((*SHAPES, *map(plural, SHAPES)), key=len, reverse=True))
_THING = rf"(?:({'|'.join(COLORS)}) )?({_SHAPE})"
_COUNT = re.compile(rf"(an?|{'|'.join(NUMBERS)}) {_THING}\b")
_RELATION = re.compile(rf"[Tt]he {_THING} is ({'|'.join(RELATIONS)}) the {_THING}\b")
_ASKED_RELATION = re.compile(rf"Is the {_THING} ({'|'.join(RELATIONS)}) the {_THING}\?")
_ASKED_COLOR = re.compile(rf"Is the ({_SHAPE}) ({'|'.join(COLORS)})\?")
_ASKED_TOTAL = re.compile(rf"Are there ({'|'.join(NUMBERS)}) objects\?")
_ASKED_COUNT = re.compile(rf"(?:Is|Are) there (an?|{'|'.join(NUMBERS)}) {_THING}\?")


_HOW_MANY = re.compile(rf"How many {_THING} are in the image\?")
_SHOWS = re.compile(r'Does this (?:image|figure) show "([^"]{1,400})"\?')
_ANY_RELATION = re.compile(rf"\ban? {_THING} ({'|'.join(RELATIONS)}) an? {_THING}\b")
RIGHT, WRONG = 0.97, 0.03  # how sure the rules are, where a probability is asked for
_NUMBERED = re.compile(r"^(\d{1,3})\. (.{1,400})$", re.MULTILINE)


class RuleJudge(Responder):
    """Replies to a WISE rubric or to one about edits with scores, to a question about shapes with
    yes or no, and to a numbered list of questions in the form that is asked for."""

    name = "shape-rules-1"
    fingerprint = f"{ShapeDetector.identity} {ColorNamer.identity}"

    def __init__(self) -> None:
        self._detector, self._namer = ShapeDetector(), ColorNamer()

    def ask(self, requests: Sequence[Ask]) -> list[str | Exception]:
        seen: dict[Path, tuple[np.ndarray, list[tuple[Item, float]]]] = {}
        replies: list[str | Exception] = []
        for request in requests:
            if _edits.is_about_edits(request.question):
                images = [read_rgb(path) for path in request.images]
                replies.append(_edits.reply(request.question, images))
                continue
            (path,) = request.images
            if path not in seen:
                image = read_rgb(path)
                seen[path] = image, self.see(image)
            replies.append(self._reply(request.question, *seen[path]))
        return replies

    def score(self, requests: Sequence[Score]) -> list[str | Exception]:
        """Nearly all of the probability on what ``ask`` would say; a reply ends for certain."""
        said = self.ask([Ask(r.question, r.images, system=r.system) for r in requests])
        return [
            _probable(request, str(reply)) for request, reply in zip(requests, said, strict=True)
        ]

    def see(self, image: np.ndarray) -> list[tuple[Item, float]]:
        """The objects in an image (H, W, 3) uint8, each with the detector's score in (0, 1)."""
        found = []
        for shape, (boxes, masks) in self._detector([image])[0].items():
            names = self._namer(image, boxes, masks, shape)
            for (x0, y0, x1, y1, score), color in zip(boxes.tolist(), names, strict=True):
                radius = max(x1 - x0, y1 - y0) / 2
                item = Item(shape, color, (x0 + x1) / 2, (y0 + y1) / 2, radius)
                if score > COUNTS:
                    found.append((item, score))
        return found

    def _reply(self, text: str, image: np.ndarray, seen: list[tuple[Item, float]]) -> str:
        explanation = re.findall(r'EXPLANATION: "(.*?)"', text)
        if not explanation:
            items = [item for item, _ in seen]
            if numbered := _NUMBERED.findall(text):
                return _listed(text, {n: answer(asked, image, items) for n, asked in numbered})
            return answer(text, image, items)
        items = [item for item, _ in seen]
        truths = facts(explanation[-1], items)
        if "Aesthetic Quality" not in text:
            return f"Score: {int(bool(truths) and all(truths))}"
        clear = min((score for _, score in seen), default=0.0)
        expected = sum(_number(n) for n, _, _ in _COUNT.findall(explanation[-1]))
        consistency = 2 if truths and all(truths) else int(any(truths))
        realism = 0 if not seen else 2 if clear >= CLEAR else 1
        beauty = max(0, 2 - abs(len(items) - expected))
        return f"Consistency: {consistency}\nRealism: {realism}\nAesthetic Quality: {beauty}"


def _probable(request: Score, reply: str) -> str:
    """The answer to a request whose likeliest reply is this one, in small or in capital letters."""
    cased = {form.strip().lower(): form for forms in request.options for form in forms[::-1]}
    likely = cased.get(reply.lower(), reply)
    masses = [
        RIGHT if reply.lower() in [form.strip().lower() for form in forms] else WRONG
        for forms in request.options
    ]
    if request.kind == "whole":
        return Whole(tuple((math.log(m),) for m in masses), (0.0,) * len(masses)).written()
    other = {"yes": "no", "no": "yes", "Yes": "No", "No": "Yes"}.get(likely)
    top = ((likely, RIGHT), *([(other, WRONG)] if other else []))
    return First(tuple(masses), likeliest=likely, top=top).written()


def _listed(text: str, answers: Mapping[str, str]) -> str:
    """Answers by number, in the form that the request shows."""
    if "<score>" in text:
        marks = [int(said == "yes") for said in answers.values()]
        return f"<analysis>{json.dumps(list(answers.values()))}</analysis><score>{marks}</score>"
    if "JSON" in text:
        return json.dumps([{"id": int(n), "answer": a.capitalize()} for n, a in answers.items()])
    return "\n".join(answers.values())


def _number(word: str) -> int:
    return 1 if word in ("a", "an") else NUMBERS.index(word)


def _matching(items: Sequence[Item], color: str, shape: str) -> list[Item]:
    singular = {plural(name): name for name in SHAPES}.get(shape, shape)
    return [i for i in items if i.shape == singular and color in ("", i.color)]


def _related(items: Sequence[Item], match: Sequence[str]) -> bool:
    color_a, shape_a, relation, color_b, shape_b = match
    return any(
        relation in relations(a, b)
        for a in _matching(items, color_a, shape_a)
        for b in _matching(items, color_b, shape_b)
        if a is not b
    )


def facts(explanation: str, items: Sequence[Item]) -> list[bool]:
    """Whether each count and each relation that an explanation states holds of these objects."""
    counts = [
        len(_matching(items, color, shape)) == _number(number)
        for number, color, shape in _COUNT.findall(explanation)
    ]
    return counts + [_related(items, match) for match in _RELATION.findall(explanation)]


def answer(question: str, image: np.ndarray, items: Sequence[Item]) -> str:
    """yes or no to a question about shapes; a sentence to any other."""
    if match := _ASKED_RELATION.search(question):
        color_a, shape_a, relation, color_b, shape_b = (part or "" for part in match.groups())
        truth = _related(items, (color_a, shape_a, relation, color_b, shape_b))
    elif match := _ASKED_COLOR.search(question):
        truth = bool(_matching(items, match[2], match[1]))
    elif match := _ASKED_TOTAL.search(question):
        truth = len(items) == _number(match[1])
    elif match := _ASKED_COUNT.search(question):
        found = len(_matching(items, match[2] or "", match[3]))
        truth = found >= 1 if match[1] in ("a", "an") else found == _number(match[1])
    elif match := _HOW_MANY.search(question):
        count = len(_matching(items, match[1] or "", match[2]))
        return NUMBERS[count] if count < len(NUMBERS) else str(count)
    elif match := _SHOWS.search(question):
        counts = facts(match[1], items)
        counts += [_related(items, own) for own in _ANY_RELATION.findall(match[1])]
        truth = bool(counts) and all(counts)
    elif "Is the background grey?" in question:
        color = background_color(image.astype(np.float32))
        truth = bool(np.ptp(color) < 30 and 90 < color.mean() < 190)
    else:
        return "That is beyond my rules."
    return "yes" if truth else "no"


def open_instrument() -> Judge:
    return Judge(RuleJudge())
