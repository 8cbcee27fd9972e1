"""MMMU's official reading of replies, with its random letter taken out.

Source: MMMU-Benchmark/MMMU @ bb0b95a, eval_utils. Where the original draws a random letter the
reply is unmatched here; ``random_letters`` is what its generator draws. ``open_values`` reads open
answers as the original does, ``past_empty_tails`` by a rule of ours.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Sequence

from harmon_eval.core import UserError
from harmon_eval.replies.multiple_choice import Options

SEED = 42  # the original's
OUTER = ",.!?;:'"
INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
# The original's, but that none begins within digits: there is no match that does, and looking for
# one takes time with the square of a long row of them.
NUMBERS = (
    r"-?\b\d{1,3}(?:,\d{3})+\b",
    r"-?(?<!\d)\d+(?:\.\d+)?[eE][+-]?\d+",
    r"-?(?:(?<!\d)\d+\.\d+|\.\d+|(?<!\d)\d+\b)(?![,\d]|[eE][+-]?\d+)",
)
Value = float | str


def letter(reply: str, options: Options) -> tuple[str | None, str]:
    """The letter and the form in which it was found; None: the original draws one at random."""
    for mark in OUTER:
        reply = reply.strip(mark)
    padded = f" {reply} "
    forms = {name: f"({name})" for name in options if f"({name})" in padded}
    if forms:
        return _last(padded, forms), "bracket"
    forms = {name: f" {name} " for name in options if f" {name} " in padded}
    if forms:
        return _last(padded, forms), "letter"
    if len(padded.split()) > 5:
        lower = padded.lower()
        forms = {name: text.lower() for name, text in options.items() if text.lower() in lower}
        if forms:
            return _last(lower, forms), "option text"
    return None, "unmatched"


def _last(text: str, forms: Options) -> str:
    return max(forms, key=lambda name: text.rfind(forms[name]))


def random_letters(choices: Sequence[Sequence[str]]) -> list[str]:
    """What the original draws for unmatched questions, in the order in which they come."""
    generator = random.Random(SEED)
    return [generator.choice(letters) for letters in choices]


# -- open questions ------------------------------------------------------------------------------


def open_values(reply: str) -> set[Value]:
    """Everything that the reply could mean: key phrases and numbers, normalised."""
    return _values(reply, _official_tail)


def past_empty_tails(reply: str) -> set[Value]:
    """The same, but an indicator that ends its line says nothing about that line.

    To the original, the line "the answer is " says "is", and the number on the next line is lost.
    """
    return _values(reply, _shortest_tail)


def _official_tail(tails: Sequence[str]) -> str:
    """The shortest; an empty one gives way to whatever comes after it."""
    found = ""
    for tail in tails:
        if not found or len(tail) < len(found):
            found = tail
    return found


def _shortest_tail(tails: Sequence[str]) -> str:
    return min(tails, key=len)


def _values(reply: str, chosen: Callable[[Sequence[str]], str]) -> set[Value]:
    pieces = reply.strip().strip(".").lower().split("\n")
    phrases = []
    for index, piece in enumerate(pieces):
        signs = (*INDICATORS, "=") if index == len(pieces) - 1 else INDICATORS
        tails = [piece.rpartition(sign)[2].strip() for sign in signs if sign in piece]
        if tails and (phrase := chosen(tails)) not in ("", *":,.!?;'"):
            phrases.append(phrase)
    found = phrases or [reply.strip().strip(".").lower()]
    numbers = [n for text in found for pattern in NUMBERS for n in re.findall(pattern, text)]
    return {value for text in (*found, *numbers) for value in normalised(text)}


def normalised(text: str) -> tuple[Value, ...]:
    """A number rounded to two decimals, or lower case; one character needs a blank beside it."""
    text = text.strip()
    try:
        return (round(float(text.replace(",", "")), 2),)
    except ValueError:
        lower = text.lower()
        return (f" {lower}", f"{lower} ") if len(lower) == 1 else (lower,)


def open_correct(truth: str | Sequence[str], values: set[Value]) -> bool:
    """A text of the truth inside a text of the reply, or an equal number; one hit is enough."""
    alternatives = [truth] if isinstance(truth, str) else list(truth)
    wanted = {value for text in alternatives for value in normalised(str(text))}
    texts = [value for value in values if isinstance(value, str)]
    inside = any(isinstance(w, str) and w in text for w in wanted for text in texts)
    return inside or any(value in wanted for value in values if isinstance(value, float))


def literal_list(text: str, where: str) -> list[str]:
    """A Python list written as text, as the tables hold options and alternatives.

    Raises UserError that names ``where``."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise UserError(f"{where}: {text[:60]!r} is no list: get the file again")
    return [str(item) for item in value]


def truths(answer: str) -> list[str]:
    """An answer, or its alternatives where it is a list written as text."""
    return literal_list(answer, "answer") if re.fullmatch(r"\[.*\]", answer.strip()) else [answer]
