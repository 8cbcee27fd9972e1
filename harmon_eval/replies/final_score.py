"""A reply that ends in ``Final Score: 4``, as RISEBench's judge gives it.

``parse`` is what counts here. ``original`` does what PhoenixZ810/RISEBench @ 5f22651 does, so that
we can say what it makes of a reply.
"""

from __future__ import annotations

import re

from harmon_eval.replies.numbers import labelled

LABEL = "Final Score"
LOW, HIGH = 1, 5


def parse(reply: str, low: int = LOW, high: int = HIGH) -> int | None:
    """The last final score of a reply, in whatever form; None without one from low to high."""
    return labelled(reply, (LABEL,), low, high).get(LABEL)


def original(reply: str) -> list[int] | None:
    """All numbers behind the first ``Final Score`` that has any, else behind ``Final Scores``.

    Commas, asterisks and line ends may stand between them, so a numbered list behind the score is
    read too, and nothing is checked against the scale. An empty list where only ``Final Scores``
    without a number is there, None without either."""
    for label in (LABEL, f"{LABEL}s"):
        places = re.findall(rf"{label}\*{{0,2}}:?\s*([\d*\s,]*)", reply, re.IGNORECASE)
        for place in places:
            if numbers := [int(number) for number in re.findall(r"\d+", place)]:
                return numbers
    return [] if places else None
