"""Replies of the rule judge to the requests of the editing benchmarks, in their own forms."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from harmon_eval.suites.mini.edit_judge import CLEAR, COUNTS, NotJudged, judge_edit, see
from harmon_eval.suites.mini.references import judge_references

BEYOND = "That is beyond my rules."
_INSTRUCTION = re.compile(r"^Editing instruction: (.+)$", re.MULTILINE)
_LABEL = re.compile(r"^([A-Z][^:\n]{2,60}): <1-5>$", re.MULTILINE)
_ONE = "Score"  # the label of a rubric with one score, which is at most 3 if anything else changed
_ASPECT = re.compile(r"^Aspect: (consistency|reasoning|plausibility)$", re.MULTILINE)
_REFERENCE = re.compile(r"^Aspect: (following|subjects)$", re.MULTILINE)
_KEYS = re.compile(r'"(\w+_score)": <1-5>')


def is_about_edits(text: str) -> bool:
    """Whether a request is one that ``reply`` answers."""
    if _REFERENCE.search(text) or '{"score": [' in text:
        return True
    return bool(_LABEL.search(text) or _KEYS.search(text))


def reply(text: str, images: Sequence[np.ndarray]) -> str:
    """The reply about a result (H, W, 3) uint8, or about its sources and it.

    VIEScore's object where the request shows one, KRIS-Bench's keys, or ImgEdit's lines."""
    keys = _KEYS.findall(text)
    if reference := _REFERENCE.findall(text):
        return _of_references(text, images, reference == ["following"])
    if len(images) == 1:
        points = _quality(images[0])
        if keys:
            return _object(keys, [max(1, round(points / 2))])
        if _ASPECT.search(text):
            return f"Shapes that are clear.\nFinal Score: {max(1, round(points / 2))}"
        return json.dumps({"score": [points, points], "reasoning": "shapes that are clear"})
    if len(images) != 2:
        return BEYOND
    told = _INSTRUCTION.findall(text)
    source, result = images
    try:
        verdict = judge_edit(source, result, told[-1] if told else "")
    except NotJudged as error:
        return f"{BEYOND} {error}"
    if aspect := _ASPECT.findall(text):
        followed, kept = verdict.semantic
        value = round(1 + 0.4 * (kept if aspect == ["consistency"] else followed))
        return f"Facts of the instruction and of the source.\nFinal Score: {value}"
    if labels := _LABEL.findall(text):
        first, second, third = verdict.scores
        scores = (
            [first if verdict.preserved else min(3, first)]
            if labels == [_ONE]
            else [*(first, second, third)]
        )
        lines = [f"{name}: {n}" for name, n in zip(labels, scores, strict=True)]
        return "\n".join(["Brief reasoning: facts of the instruction and of the source", *lines])
    semantic = [round(value, 2) for value in verdict.semantic]
    if keys:
        followed, kept = (round(1 + 0.4 * value) for value in semantic)
        return _object(keys, [kept if key.startswith("consistency") else followed for key in keys])
    return json.dumps({"score": semantic, "reasoning": "facts demanded, facts kept"})


def _of_references(text: str, images: Sequence[np.ndarray], following: bool) -> str:
    """About several sources and a result: the instruction followed, or the objects alike."""
    told = _INSTRUCTION.findall(text)
    if len(images) < 2 or not told:
        return BEYOND
    try:
        followed, alike = judge_references(images[:-1], images[-1], told[-1])
    except NotJudged as error:
        return f"{BEYOND} {error}"
    score = round(followed if following else alike, 2)
    return json.dumps({"score": score, "reasoning": "objects, places and colours"})


def _object(keys: Sequence[str], scores: Sequence[int]) -> str:
    return json.dumps({**dict(zip(keys, scores, strict=True)), "reasoning": "by fixed rules"})


def _quality(image: np.ndarray) -> float:
    """10, less 2 for each unclear object and 3 for each region that is no shape, at least 0."""
    found = see(image)
    drawn = [each for each in found if each.score > COUNTS]
    unclear = sum(each.score < CLEAR for each in drawn)
    return max(0.0, 10.0 - 2.0 * unclear - 3.0 * (len(found) - len(drawn)))
