"""Scores from probabilities: of a reply's first token, and of whole options.

Sources: facebookresearch/GenEval2 @ a6e82d2 (Soft-TIFA), linzhiqiu/t2v_metrics @ 6ecb74f (VQAScore,
releases 3.0 and 3.1), lm-eval 0.4.13 and lmms-eval @ 75571cf (ranking), Flow-Factory @ a0b2bc5.
Probabilities are those of the raw distribution, never of one that sampling has changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

YES = ("Yes", "yes", " yes", " Yes")
NO = ("No", "no", " no", " No")
DIGITS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7"}


@dataclass(frozen=True)
class Mass:
    """A probability of which only the top of the distribution was seen: it lies in [low, high]."""

    low: float
    high: float


def mass(top: Mapping[str, float], forms: Sequence[str], seen: float = 1.0) -> Mass:
    """The probability of these forms of an answer. ``seen``: how much of the distribution ``top``
    holds; the rest may be of any of them."""
    found = math.fsum(top.get(form, 0.0) for form in dict.fromkeys(forms))
    return Mass(min(found, 1.0), min(found + max(0.0, 1.0 - seen), 1.0))


def answer_forms(answer: str, bare_space: bool = False) -> tuple[str, ...]:
    """The forms that Soft-TIFA counts for ``answer``: Yes, or a number from one to seven in words.

    ``bare_space``: as published, where the tokenizer splits the space off before a digit, so that a
    reply that begins with a space counts for every number."""
    if answer.lower() == "yes":
        return YES
    word = answer.lower()
    if word not in DIGITS:
        return (answer, f" {answer}")
    digit = DIGITS[word]
    forms = (word, word.capitalize(), f" {word}", f" {word.capitalize()}", digit)
    return (*forms, " " if bare_space else f" {digit}")


def hard(top: Mapping[str, float], forms: Sequence[str]) -> bool:
    """TIFA: whether the likeliest first token, in lower case, is one of the forms."""
    best = max(top, key=lambda token: top[token], default="")
    return best.lower() in forms


def arithmetic(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)


def geometric(scores: Sequence[float]) -> float:
    """0 if one of them is 0."""
    if min(scores) <= 0:
        return 0.0
    return math.exp(math.fsum(map(math.log, scores)) / len(scores))


def yes_share(top: Mapping[str, float]) -> float | None:
    """P(yes) / (P(yes) + P(no)) over all their forms; None where neither was listed."""
    yes, no = mass(top, YES).low, mass(top, NO).low
    return yes / (yes + no) if yes + no else None


def vqascore_3_0(top: Sequence[tuple[str, float]]) -> float:
    """t2v_metrics 3.0 on an endpoint's list: the first of Yes and No in it, 1 - P for a No."""
    for token, probability in top:
        if token in ("Yes", "yes"):
            return probability
        if token in ("No", "no"):
            return 1 - probability
    return 0.0


def vqascore_3_1(top: Sequence[tuple[str, float]]) -> float:
    """t2v_metrics 3.1: stripped and lower-cased, later entries overwriting earlier ones; without a
    yes, 1 - P(no)."""
    found = {token.strip().lower(): probability for token, probability in top}
    if "yes" in found:
        return found["yes"]
    return 1 - found["no"] if "no" in found else 0.0


def flow_factory(top: Sequence[tuple[str, float]], canonical: bool = False) -> float:
    """P(Yes) / (P(Yes) + P(No)) of the exact tokens, or (``canonical``) of all that are yes and no
    when stripped and lower-cased; 0 where neither is listed, as published."""

    def total(word: str) -> float:
        return math.fsum(
            p
            for token, p in top
            if (token.strip().lower() == word.lower() if canonical else token == word)
        )

    yes, no = total("Yes"), total("No")
    return yes / (yes + no) if yes + no else 0.0


def label_mean(logprobs: Sequence[float]) -> float:
    """VQAScore as the papers have it: the geometric mean of the probabilities of the label's
    tokens, the end token among them."""
    return math.exp(math.fsum(logprobs) / len(logprobs))


def best(values: Sequence[float]) -> int:
    """The index of the greatest, the first of equal ones."""
    return max(range(len(values)), key=lambda i: (values[i], -i))


def statistics(
    options: Sequence[str],
    logprobs: Sequence[Sequence[float]],
    unconditional: Sequence[float] | None = None,
) -> dict[str, list[float]]:
    """What options are ranked by, from the log-probabilities of their tokens; greatest first.

    ``sum``, ``mean`` (over tokens), ``per_character``, ``per_byte``; with the sums without the
    question also ``mutual_information``."""
    sums = [math.fsum(own) for own in logprobs]
    found = {
        "sum": sums,
        "mean": [s / len(own) for s, own in zip(sums, logprobs, strict=True)],
        "per_character": [s / len(text) for s, text in zip(sums, options, strict=True)],
        "per_byte": [s / len(text.encode()) for s, text in zip(sums, options, strict=True)],
    }
    if unconditional is not None:
        found["mutual_information"] = [s - u for s, u in zip(sums, unconditional, strict=True)]
    return found


def lmms_eval_norm(options: Sequence[str], logprobs: Sequence[Sequence[float]]) -> int:
    """lmms-eval's ``acc_norm``: the least mean loss per character, which favours long options."""
    means = statistics(options, logprobs)["mean"]
    return best([mean / len(text) for mean, text in zip(means, options, strict=True)])
