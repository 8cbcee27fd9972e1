"""Letters are read as VLMEvalKit, lmms-eval and LLaVA read them; none is ever drawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmon_eval.replies.multiple_choice import (
    first_character,
    given_options,
    lmms_eval_rule,
    vlmevalkit_rule,
    vqa_rule,
    whole_letter_rule,
    whole_reply,
)

OPTIONS = {"A": "a dog", "B": "a cat", "C": "Sunny", "D": "Rainy day"}
LONG = "The correct answer is **C**. Here is why: " + "it is very bright outside and so on " * 3

# mmbench.md, E1: reply, VLMEvalKit, lmms-eval
EXAMPLES = [
    *(
        (r, "B", "B")
        for r in (
            "B",
            "B.",
            "(B)",
            "B)",
            "B:",
            "B. a cat",
            "(B) a cat",
            "Answer: B",
            "The answer is B.",
        )
    ),
    ("b", None, None),
    ("The answer is b", "B", None),
    ("[B]", "B", None),
    ("**B**", "B", None),
    ('"B"', None, None),
    ("A", "A", "A"),
    ("A cat", "A", "A"),
    ("Option A", "A", "A"),
    ("The picture shows A dog", "A", "A"),
    ("a cat", "B", "B"),
    ("It is a cat", "B", "B"),
    ("A dog is near a cat", None, None),
    ("I think it is sunny", "C", "C"),
    ("B or C", None, None),
    ("Both A and B", None, None),
    ("B, not C", None, "C"),
    ("C The picture shows strong light and no clouds at all.", None, "C"),
    ("I would choose option B because there is a cat on the mat", None, "B"),
    (LONG, "C", None),
    ("Z", "Z", None),
    ("E", None, "E"),
    ("Cannot determine the answer", "Z", None),
    ("A big red house stands there B", None, None),
    ("", None, None),
    ("None of the above", None, None),
]


@pytest.mark.parametrize(("reply", "toolkit", "lmms_eval"), EXAMPLES)
def test_mmbench_replies(reply: Any, toolkit: Any, lmms_eval: Any) -> None:
    assert vlmevalkit_rule(reply, OPTIONS)[0] == toolkit
    assert lmms_eval_rule(reply, OPTIONS) == lmms_eval


def test_the_rule_says_which_part_of_it_gave_the_letter() -> None:
    found = [vlmevalkit_rule(r, OPTIONS)[1] for r in ("B", "The answer is b", "a cat", "hm")]
    assert found == ["letter", "answer phrase", "option text", "unmatched"]


def test_a_letter_that_no_option_has_is_no_letter() -> None:  # mmbench.md, E5
    assert vlmevalkit_rule("C", {"A": "left", "B": "right"}) == (None, "unmatched")


def test_the_options_end_at_the_first_missing_one() -> None:
    for missing in ("", "nan", None, float("nan"), "None"):
        assert given_options({"A": "x", "B": "y", "C": missing, "D": "z"}) == {"A": "x", "B": "y"}


@pytest.mark.parametrize(
    ("reply", "exact", "first", "rule"),
    [
        ("B", "B", "B", "B"),
        ("b", None, "B", None),
        ("B.", None, "B", "B"),
        ("B. dog", None, "B", "B"),
        ("(A)", None, "(", "A"),
        ("Answer: B", None, "A", "B"),
        ("The answer is C", None, "T", "C"),
        ("Cat", None, "C", "D"),
        ("**B**", None, "*", "B"),
        (" d ", None, "D", None),
        ("", None, None, None),
    ],
)
def test_seed_bench_replies(
    reply: str, exact: str | None, first: str | None, rule: str | None
) -> None:  # seed.md, E1
    options = {"A": "bird", "B": "dog", "C": "fish", "D": "cat"}
    assert whole_reply(reply, options) == exact
    assert first_character(reply) == first
    assert vlmevalkit_rule(reply, options)[0] == rule


@given(st.text())
def test_no_text_breaks_a_rule(reply: Any) -> None:
    assert vlmevalkit_rule(reply, OPTIONS)[0] in (None, "Z", *OPTIONS)
    assert lmms_eval_rule(reply, OPTIONS) in (None, *"ABCDE")


# VLMEvalKit's pattern has no word boundary; verdicts of the original code, executed.
WORDS = [
    ("The answer is blue", "B", None),
    ("the correct answer is definitely this", "D", None),
    ("The answer is a cat", "A", "A"),
    ("Answer is  **c**", "C", "C"),
    ("answer is** B", "B", "B"),
    ("The answer is clear: it is wet", "C", None),
    ("The answer is (B)x", "B", "B"),
    ("The answer is dark, so the answer is b", "D", "B"),
    ("The answer is e", None, None),
]


@pytest.mark.parametrize(("reply", "toolkit", "ours"), WORDS)
def test_the_first_letter_of_a_word_after_answer_is(reply: Any, toolkit: Any, ours: Any) -> None:
    options = {"A": "left of it", "B": "right of it", "C": "above it", "D": "below it"}
    assert vlmevalkit_rule(reply, options)[0] == toolkit
    assert whole_letter_rule(reply, options)[0] == ours


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        *((text, "B") for text in ("B", "b", "(B)", "**B.**", "B. dog", "Dog.", "“dog”", "A dog")),
        *((text, "B") for text in ("The answer is B", "The answer is a dog", "It is a dog.")),
        *((text, None) for text in ("The answer is blue", "A or B", "a bird", "I see a bird", "2")),
        ("The answer is A", "A"),
        ("a", "A"),
        ("3.0", "C"),
        ("Three", "C"),
        ("-3", None),
    ],
)
def test_letters_of_questions_of_ones_own(reply: Any, letter: Any) -> None:
    options = {"A": "cat", "B": "dog", "C": "3"}
    assert vqa_rule(reply, options)[0] == letter
