"""MMMU's letters and open answers, read as the official code reads them."""

from __future__ import annotations

from typing import Any

import pytest

from harmon_eval.core import UserError
from harmon_eval.replies.mmmu_answers import (
    letter,
    literal_list,
    open_correct,
    open_values,
    past_empty_tails,
    random_letters,
    truths,
)

OPTIONS = {"A": "red", "B": "green", "C": "blue", "D": "<image 2>"}


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        *((r, "B") for r in ("B", "(B)", "B.", "The answer is B", "A or B")),
        ("(A) is wrong, so (C)", "C"),
        ("(A) and B", "A"),
        ("I think A", "A"),
        ("I really do think it must be green here", "B"),
        ("A nice green thing I like to see", "A"),
        *(
            (r, None)
            for r in (
                "The colour is green",
                "b",
                "B)",
                "**B**",
                "answer:B",
                "The answer is (b)",
                "",
                "Not sure",
                "none of these options is right at all here",
            )
        ),
    ],
)
def test_letters(reply: Any, found: Any) -> None:  # mmmu.md, E1
    assert letter(reply, OPTIONS)[0] == found


def test_the_random_letters_of_the_original_are_its_own() -> None:
    assert random_letters(["ABCD"] * 6) == ["A", "A", "C", "B", "B", "B"]


# mmmu.md, E2: truth, reply, parsed set, right
OPEN = [
    ("360", "The answer is 360.", {360.0}, True),
    ("360", "$360", {"$360", 360.0}, True),
    ("360", "A", {" a", "a "}, False),
    ("8", "18", {18.0}, False),
    ("8", "eight", {"eight"}, False),
    ("2.83", "2.8284271", {2.83}, True),
    ("6.333", "6.33", {6.33}, True),
    ("0.9965", "1.0", {1.0}, True),
    ("0.286", "0.29", {0.29}, True),
    ("1/64", "The probability is 1/64", {"1/64", 1.0, 64.0}, True),
    ("['24/7', '3.429']", "3.43", {3.43}, True),
    ("C", "The answer is C", {" c", "c "}, True),
    ("C", "C", {" c", "c "}, True),
    ("C", "Option C is right", {"right"}, False),
    ("B", "B", {" b", "b "}, True),
    ("2000000", "2,000,000", {0.0, 2000000.0}, True),
    ("2000000", "2 million", {"2 million", 2.0}, False),
    ("-120", "-120 V", {"-120 v", -120.0}, True),
    ("30.0", "30%", {"30%", 30.0}, True),
    ("4", "The answer is 4 or 5", {"4 or 5", 4.0, 5.0}, True),
    ("5", "1.5e1", {1.0, 15.0}, False),
    ("10", "x = 10 because 2*5=10", {10.0}, True),
    ("10", "x=5\nthe answer is 10", {10.0}, True),
    ("20", "There are 20 items. It is 3 now", {"3 now", 3.0}, False),
    ("embryonic", "the embryonic stage", {"the embryonic stage"}, True),
    ("Transformation", "transform", {"transform"}, False),
    ("['Tampa', 'Florida']", "Tampa, Florida", {"tampa, florida"}, True),
    ("['$MgS$', 'MgS']", "MgS", {"mgs"}, True),
]


@pytest.mark.parametrize(("truth", "reply", "values", "right"), OPEN)
def test_open_answers(truth: Any, reply: Any, values: Any, right: Any) -> None:
    assert open_values(reply) == values
    assert open_correct(truths(truth), values) is right


def test_a_list_written_as_text_is_never_run_as_code() -> None:
    assert literal_list("['a', 2]", "row 1") == ["a", "2"]
    with pytest.raises(UserError, match=r"row 1: .* is no list"):
        literal_list("__import__('os').getcwd()", "row 1")


# An indicator with nothing behind it on its line. Sets of the original code, executed.
TAILS = [
    ("The answer is \n360", {"is"}, {"the answer is \n360", 360.0}),
    ("The final answer is \n\n42", {"is"}, {"the final answer is \n\n42", 42.0}),
    ("So the result is ", {"is"}, {"is"}),
    ("it is \nit is 5", {5.0}, {5.0}),
    ("x is 3 so \nso 3", {"3 so", 3.0}, {3.0}),
]


@pytest.mark.parametrize(("reply", "official", "ours"), TAILS)
def test_an_indicator_that_ends_its_line(reply: Any, official: Any, ours: Any) -> None:
    assert open_values(reply) == official
    assert past_empty_tails(reply) == ours
