"""What is said of an image: numbers, or why there are none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from harmon_eval.core import Row, UserError
from harmon_eval.store.redact import redacted

Scores = Mapping[str, float]


class Failure(NamedTuple):
    """Why there are no numbers. ``late``: marking goes on, and the next request may find it done.
    ``asked``: what was asked is at fault, so that the same request fails again."""

    reason: str
    late: bool = False
    asked: bool = False


@dataclass(frozen=True)
class Found:
    """What one reward says of one image; ``row`` is the whole mark."""

    scores: Scores
    row: Row = field(default_factory=dict)


Outcome = Found | Failure


def first(scores: Scores) -> float:
    """The headline number of a reward."""
    return next(iter(scores.values()))


def said(error: BaseException) -> str:
    """What a client is told of an error: the kind of one that nobody expected, too."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^\s/'\":,;()]+/)+")


def without_paths(reason: str) -> str:
    """A reason without the folders of this machine, and without what looks like a key."""
    return redacted(_FOLDERS.sub("", reason))
