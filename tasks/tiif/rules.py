"""TIIF-Bench's reply parser and totals. Source: A113N-W3I/TIIF-Bench @ 3aae750."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harmon_eval.tasks.checklist.rules import Family, Protocol, Step

_WORD = re.compile(r"(yes|no)\b", re.IGNORECASE)


def _pairs(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{a}+{b}" for a in first for b in second)


_REASONING = ("numeracy", "comparison", "differentiation", "negation")
# The nine groups of attributes that the published tables average.
GROUPS: Mapping[str, Sequence[str]] = {
    "Basic Attribute": ("shape+color", "color+texture", "texture+color", "shape+texture"),
    "Basic Relation": ("2d_spatial_relation", "3d_spatial_relation", "action+2d", "action+3d"),
    "Basic Reasoning": ("numeracy", "negation", "differentiation", "comparison"),
    "Advanced Attribute+Relation": (
        *_pairs(("action",), ("color", "texture")),
        *_pairs(("color", "shape", "texture"), ("2d", "3d")),
    ),
    "Advanced Attribute+Reasoning": _pairs(_REASONING, ("color", "texture")),
    "Advanced Relation+Reasoning": _pairs(_REASONING, ("2d", "3d")),
    "Advanced Text Generation": ("text",),
    "Advanced Style Control": ("style",),
    "Real World": ("real_world",),
}
PROTOCOL = Protocol(
    ask="together",
    reply="lines",
    dependency="none",
    total=(
        Step("points", ("attribute", "length")),
        Step("below", ("family", "length")),
        Step("below", ("length",)),
    ),
    families={
        "family": Family("attribute", {a: group for group, own in GROUPS.items() for a in own})
    },
)


def published_answers(reply: str, points: int) -> list[str] | None:
    """What the published script reads: lines that, stripped, begin with the word yes or no; other
    lines are skipped. None unless there are as many as points."""
    begun = (_WORD.match(line.strip()) for line in reply.splitlines())
    found = [match[1].lower() for match in begun if match]
    return found if len(found) == points else None
