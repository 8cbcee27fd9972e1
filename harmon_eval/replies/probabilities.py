"""The answer to a ``Score`` request: probabilities as JSON text, which is stored as a reply.

``first``: the mass of each option's forms as the first token of a reply, and how much of the
distribution was seen. ``whole``: log-probabilities of the tokens of each option as the whole reply,
and of the token that ends it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harmon_eval.core import Unscorable

LISTED = 20  # tokens in ``First.top``: the most that OpenAI's endpoint lists


@dataclass(frozen=True)
class First:
    """Masses (0 to 1) of the options. They are lower ends where less than all was ``seen``.
    ``likeliest`` is the likeliest first token. ``top`` lists the likeliest ones with their
    probabilities, the first the likeliest; it may be empty."""

    masses: tuple[float, ...]
    seen: float = 1.0
    likeliest: str = ""
    top: tuple[tuple[str, float], ...] = ()

    @property
    def unseen(self) -> float:
        """The probability of first tokens that were not seen: they may be of any option."""
        return max(0.0, 1.0 - self.seen)

    def written(self) -> str:
        table = {"first": self.masses, "seen": self.seen, "likeliest": self.likeliest}
        return json.dumps({**table, "top": self.top} if self.top else table)


@dataclass(frozen=True)
class Whole:
    """Log-probabilities of each option's tokens, the end of the reply apart (None: not known)."""

    logprobs: tuple[tuple[float, ...], ...]
    ends: tuple[float | None, ...]

    def written(self) -> str:
        return json.dumps({"whole": self.logprobs, "ends": self.ends})

    def with_ends(self) -> list[list[float]]:
        """Each option's tokens and its end. Raises Unscorable if an end is not known."""
        if None in self.ends:
            raise Unscorable("the model gives no probability of the end of a reply")
        return [
            [*own, end]
            for own, end in zip(self.logprobs, self.ends, strict=True)
            if end is not None
        ]


def first_tokens(
    options: Sequence[Sequence[str]], tokens: Sequence[Sequence[int]]
) -> list[list[int]]:
    """The distinct first tokens of each option's forms; ``tokens`` holds that of each form, option
    by option. Raises Unscorable if two options share one."""
    found = [list(dict.fromkeys(own)) for own in tokens]
    owner: dict[int, int] = {}
    for number, own in enumerate(found):
        for token in own:
            if owner.setdefault(token, number) != number:
                pair = options[owner[token]][0], options[number][0]
                raise Unscorable(f"{pair[0]!r} and {pair[1]!r} begin with the same token")
    return found


def of_first(
    options: Sequence[Sequence[str]],
    logprobs: np.ndarray,
    first_id: Callable[[str], int],
    text: Callable[[int], str],
) -> str | Unscorable:
    """The answer from log-probabilities of all first tokens (vocabulary,). ``first_id`` gives the
    first token of a form, ``text`` the text of a token; forms with the same token count once."""
    try:
        tokens = first_tokens(options, [[first_id(form) for form in own] for own in options])
    except Unscorable as error:
        return error
    except ValueError as error:
        return Unscorable(str(error))
    masses = [float(np.exp(logprobs[own].astype(np.float64)).sum()) for own in tokens]
    order = np.argsort(-logprobs, kind="stable")[:LISTED]
    top = tuple((text(int(token)), float(np.exp(logprobs[token]))) for token in order)
    return First(tuple(min(mass, 1.0) for mass in masses), 1.0, top[0][0], top).written()


def of_whole(logprobs: Sequence[Sequence[float]]) -> str:
    """The answer from log-probabilities of each option's tokens, the last one being its end."""
    return Whole(
        tuple(tuple(own[:-1]) for own in logprobs), tuple(own[-1] for own in logprobs)
    ).written()


def read(reply: str, options: int) -> First | Whole:
    """Raises Unscorable for what holds no probabilities of so many options."""
    try:
        table = json.loads(reply)
        if "first" in table:
            masses = tuple(float(value) for value in table["first"])
            if len(masses) == options and all(0 <= m <= 1 + 1e-6 for m in masses):
                top = tuple((str(token), float(p)) for token, p in table.get("top", ()))
                return First(masses, float(table["seen"]), str(table.get("likeliest", "")), top)
        else:
            logprobs = tuple(tuple(float(v) for v in own) for own in table["whole"])
            ends = tuple(None if v is None else float(v) for v in table["ends"])
            known = [v for own in logprobs for v in own] + [v for v in ends if v is not None]
            whole = len(logprobs) == len(ends) == options and all(logprobs)
            if whole and all(math.isfinite(v) and v <= 1e-6 for v in known):
                return Whole(logprobs, ends)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise Unscorable(f"this holds no probabilities of {options} options: {reply[:80]!r}")
