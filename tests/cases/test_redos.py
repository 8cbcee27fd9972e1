"""Every parser of replies reads a megabyte of anything in seconds."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from harmon_eval.adapters._completions import ErrorBody, NoCompletion, read_reply
from harmon_eval.core import Unscorable
from harmon_eval.replies import gqa_answers, mmmu_answers, multiple_choice, numbers, yes_no
from harmon_eval.replies.short_answers import same
from harmon_eval.replies.thoughts import answered
from harmon_eval.replies.yes_no import one_word
from harmon_eval.tasks.wise.rules import parse_legacy, parse_verified

LENGTH, SECONDS = 10**6, 30.0  # with the square of the length it would be hours
OPTIONS = {"A": "cat", "B": "dog", "C": "a red car", "D": "none"}
PARTS = (
    *("1", "1,", "1,111", ",111", "111 ", "1.", "1e", "1.1e", ".1", "-", "- ", "+", "½", "/"),
    *("<think>", "</think>", "<think></think>", "[THINK]", "<|channel|>", "<", "<|"),
    *("answer is", "answer is ", "answer is *", "answer", "is ", "so ", "A ", "(A) ", "Z "),
    *("yes", "no ", "yes ", "yes.no ", "'", '"', "*", "**", "`", "_", ".", "?!", "ﷺ", "\u0301"),
    *("Consistency", "Consistency:", "Consistency: ", "Consistency: (", "Consistency: 1-"),
    *("Score: ", "Score", "score ", "Score: 1", "score {", "Aesthetic Quality", "Aesthetic "),
    *("one ", "one hundred ", "twenty-", "minus ", "a-", "a. ", '"a', " ", "\n", "\r\n", "\u200b"),
)
# A beginning or an end that makes the whole fail, at which backtracking begins.
ENDS = (("", ""), ("answer is", "x"), ("Consistency:", "!"), ("", "1111"), ("<think>", ""))


def thought(reply: str) -> object:
    try:
        return answered(reply)
    except Unscorable as error:
        return str(error)


def completion(reply: str) -> object:
    try:
        return read_reply(reply.encode())
    except (ErrorBody, NoCompletion) as error:
        return str(error)[:10]


PARSERS: dict[str, Callable[[str], Any]] = {
    "thoughts": thought,
    "completion": completion,
    "labelled numbers": lambda reply: numbers.labelled(reply, ("consistency", "a b"), 0, 2),
    "bare numbers": lambda reply: numbers.bare(reply, 0, 2),
    "wise": parse_legacy,
    "wise_verified": parse_verified,
    "dpg": one_word,
    "vqa": lambda reply: same(reply, "3") or same("3", reply),
    "mmmu letters": lambda reply: mmmu_answers.letter(reply, OPTIONS),
    "mmmu values": mmmu_answers.open_values,
    "letters, vlmevalkit": lambda reply: multiple_choice.vlmevalkit_rule(reply, OPTIONS),
    "letters, vqa": lambda reply: multiple_choice.vqa_rule(reply, OPTIONS),
    "letters, whole letter": lambda reply: multiple_choice.whole_letter_rule(reply, OPTIONS),
    "letters, lmms-eval": lambda reply: multiple_choice.lmms_eval_rule(reply, OPTIONS),
    "letters, whole": lambda reply: multiple_choice.whole_reply(reply, OPTIONS),
    "letters, first": multiple_choice.first_character,
    **{
        f"yes or no, {rule.__name__}": rule
        for rule in (
            yes_no.pope_official,
            yes_no.exact,
            yes_no.vlmevalkit,
            yes_no.strict,
            yes_no.mme_official,
            yes_no.mme_lmms_eval,
            yes_no.first_line,
        )
    },
    **{
        f"gqa, {name}": (lambda r, rule=rule: rule(r, "cat"))
        for name, rule in gqa_answers.RULES.items()
    },
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_megabyte_takes_seconds(name: str) -> None:
    """Each part again and again, with each end; a quarter first, so that a square shows early."""
    parse = PARSERS[name]
    worst = ("", 0.0)
    for part in PARTS:
        for start, end in (
            ENDS if part in (" ", "1", "answer is", "<think>", "-", "*") else ENDS[:1]
        ):
            length = LENGTH // 20
            begun = time.process_time()
            parse(start + part * (length // len(part)) + end)
            worst = max(worst, (part, time.process_time() - begun), key=lambda found: found[1])
    part = worst[0] or "1"
    begun = time.process_time()
    parse(part * (LENGTH // len(part)))
    assert time.process_time() - begun < SECONDS, part


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("mmmu values", "1" * LENGTH),
        ("letters, vlmevalkit", "answer is" + " " * LENGTH + "x"),
        ("letters, vlmevalkit", "answer is" + " " * LENGTH + "*" * LENGTH + " x"),
        ("wise_verified", "<think>" * (LENGTH // 7)),
        ("wise", "Consistency:" + " " * LENGTH),
        ("vqa", "1," * LENGTH),
    ],
)
def test_what_once_took_hours(name: str, reply: str) -> None:
    begun = time.process_time()
    PARSERS[name](reply)
    assert time.process_time() - begun < SECONDS


def test_the_numbers_of_mmmu_are_those_of_the_original_patterns() -> None:
    original = (
        r"-?\b\d{1,3}(?:,\d{3})+\b",
        r"-?\d+(?:\.\d+)?[eE][+-]?\d+",
        r"-?(?:\d*\.\d+|\d+\b)(?![,\d]|[eE][+-]?\d+)",
    )
    made = random.Random(1)
    for _ in range(20_000):
        text = "".join(made.choice("12,.-eE+ a") for _ in range(made.randint(1, 14)))
        for theirs, ours in zip(original, mmmu_answers.NUMBERS, strict=True):
            assert re.findall(theirs, text) == re.findall(ours, text), text
