"""KRIS-Bench: categories, how the judge's replies are read, how scores add up.

Protocol: mercurystraw/Kris_Bench for requests and replies; the totals are those of
ByteDance-Seed/Bagel @ 056b5fd, as the original has no script for them. ``original_*`` do what the
original's readers do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from harmon_eval.replies.numbers import bare, folded, labelled

LOW, HIGH = 1, 5
MAX_TOKENS = 1000
# Category -> group of it.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Attribute Perception": (
        "count_change",
        "color_change",
        "size_adjustment",
        "part_completion",
        "anomaly_correction",
    ),
    "Spatial Perception": ("viewpoint_change", "position_movement"),
    "Temporal Prediction": ("temporal_prediction",),
    "Social Science": ("humanities", "practical_knowledge"),
    "Natural Science": ("biology", "chemistry", "geography", "mathematics", "medicine", "physics"),
    "Logical Reasoning": ("abstract_reasoning", "rule-based_reasoning"),
    "Instruction Decomposition": ("multi-element_composition", "multi-instruction_execution"),
}
KINDS: Mapping[str, tuple[str, ...]] = {
    "Factual": ("Attribute Perception", "Spatial Perception", "Temporal Prediction"),
    "Conceptual": ("Social Science", "Natural Science"),
    "Procedural": ("Logical Reasoning", "Instruction Decomposition"),
}
GROUP_OF = {category: group for group, own in GROUPS.items() for category in own}
KIND_OF = {group: kind for kind, own in KINDS.items() for group in own}
# Categories whose edits are also judged by an explanation.
WITH_KNOWLEDGE = frozenset(
    category
    for group in ("Social Science", "Natural Science", "Logical Reasoning")
    for category in GROUPS[group]
)
SCORES = ("consistency", "quality", "instruction", "knowledge")


def parse(reply: str, names: tuple[str, ...]) -> dict[str, int] | None:
    """The labelled scores 1 to 5 (``consistency_score`` ...); of one alone also a bare number.

    None where one is missing or is no such score; no digit of the prose is taken for one."""
    found = labelled(reply, tuple(f"{name} score" for name in names), LOW, HIGH)
    values = {name: found.get(f"{name} score") for name in names}
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) == len(names):
        return known
    if len(names) > 1 or known or found:
        return None
    alone = bare(reply, LOW, HIGH) or _of_five(reply)
    return {names[0]: alone[0]} if len(alone) == 1 else None


def _of_five(reply: str) -> list[int]:
    """The scores given as n/5 or n out of 5."""
    pattern = r"(?<![\d./])([1-5]) ?(?:/|out of) ?5(?![\d./]\d|\d)"
    return [int(n) for n in re.findall(pattern, folded(reply))]


# -- the original's readers ------------------------------------------------------------------------


def _object(reply: str) -> dict[str, Any] | None:
    start, end = reply.find("{"), reply.rfind("}") + 1
    if start < 0 or end <= start:
        return None
    try:
        found = json.loads(reply[start:end])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def original_score(reply: str, name: str) -> int | None:
    """A single score: of an object, after the key, as n/5, or the first digit 1 to 5 that stands
    alone. An object's value is not checked against the scale."""
    found = _object(reply)
    if found is not None and (value := _whole(found.get(f"{name}_score"))) is not None:
        return value
    for pattern in (
        rf"{name}[_ ]score\s{{0,9}}[:：]?\s{{0,9}}([1-5])\b",
        r"([1-5])\s{0,9}/\s{0,9}5",
        r"([1-5])\s{1,9}out\s{1,9}of\s{1,9}5",
        r"\b([1-5])\b",
    ):
        if match := re.search(pattern, reply, re.IGNORECASE):
            return int(match[1])
    return None


def original_pair(reply: str) -> tuple[int | None, int | None]:
    """Instruction and knowledge; both None where the object's values are no numbers."""
    found = _object(reply)
    if found is not None:
        pair = [found.get(f"{name}_score") for name in ("instruction", "knowledge")]
        values = [_whole(value) for value in pair]
        if any(n is None and value is not None for n, value in zip(values, pair, strict=True)):
            return None, None
        return values[0], values[1]
    first, second = (
        re.search(rf"{name}[_ ]score\s{{0,9}}[:：]\s{{0,9}}([1-5])\b", reply, re.IGNORECASE)
        for name in ("instruction", "knowledge")
    )
    return (int(first[1]) if first else None), (int(second[1]) if second else None)


# -- adding up -----------------------------------------------------------------------------------


def points(score: float) -> float:
    """A score 1 to 5 as 0 to 100."""
    return (score - 1) * 25


def mean(scores: Iterable[float]) -> float | None:
    """The mean in points; None of nothing."""
    found = [points(score) for score in scores]
    return sum(found) / len(found) if found else None
