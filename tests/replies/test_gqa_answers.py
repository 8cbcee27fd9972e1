"""GQA's exact match after each toolkit's normalisation."""

from __future__ import annotations

from typing import Any

import pytest

from harmon_eval.replies import gqa_answers

# gqa.md, section 7: answer, reply, official, llava, lmms-eval, vlmevalkit
EXAMPLES = [
    ("yes", "yes", 1, 1, 1, 1),
    ("yes", "Yes", 0, 1, 1, 1),
    ("yes", "Yes.", 0, 1, 1, 0),
    ("yes", "yes...", 0, 1, 1, 0),
    ("no", "No!", 0, 0, 1, 0),
    ("blue", '"blue"', 0, 0, 1, 0),
    ("t-shirt", "T-shirt", 0, 1, 1, 1),
    ("t-shirt", "tshirt", 0, 0, 1, 0),
    ("t-shirt", "t shirt", 0, 0, 0, 0),
    ("ice cream", "ice-cream", 0, 0, 0, 0),
    ("left", "left ", 0, 0, 1, 1),
    ("left", "Left.\n", 0, 0, 1, 0),
    ("yes", "Yes, it is", 0, 0, 0, 0),
    ("men", "man", 0, 0, 0, 0),
    ("two", "2", 0, 0, 0, 0),
    ("bird", "a bird", 0, 0, 0, 0),
]


@pytest.mark.parametrize(("answer", "reply", "official", "llava", "lmms", "toolkit"), EXAMPLES)
def test_replies(
    answer: Any, reply: Any, official: Any, llava: Any, lmms: Any, toolkit: Any
) -> None:
    expected = {"official": official, "llava": llava, "lmms-eval": lmms, "vlmevalkit": toolkit}
    found = {name: rule(reply, answer) for name, rule in gqa_answers.RULES.items()}
    assert found == {name: bool(value) for name, value in expected.items()}
