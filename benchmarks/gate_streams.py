"""Streams of checkpoints: how often one of them is called worse, by ``track`` and by what misleads.

A stream is 30 checkpoints after the baseline, each with the same prompts and four images a prompt.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from harmon_eval.comparing.bounds import BoundedMean
from harmon_eval.comparing.paired import ALPHA
from harmon_eval.comparing.stream import FEWEST, LOOKS, PLANNED, slope

IMAGES, LENGTH = 4, 30
TRIALS = 300
Watch = Callable[[np.ndarray], bool]


def stream(prompts: int, decline: float, common: float, rng: np.random.Generator) -> np.ndarray:
    """Shares of right images (1 + checkpoints, prompts); the last checkpoint has lost ``decline``.

    With ``common``, checkpoints share the random numbers of so many of their images."""
    length = 25 if decline else LENGTH
    chance = rng.beta(1.5, 1, (prompts, 1))
    kept = 1 - decline * np.linspace(0, 1, length + 1)[:, None, None] / (1.5 / 2.5)
    first = rng.random((prompts, IMAGES))
    own = rng.random((length + 1, prompts, IMAGES))
    draws = np.where(rng.random(own.shape) < common, first, own)
    return np.asarray((draws < chance * kept).mean(2))


def lost(values: np.ndarray, most: float, level: float) -> bool:
    """Whether the mean of ``values`` (prompts,) is shown to be below 0."""
    error = values.std(ddof=1) / len(values) ** 0.5
    if values.mean() > -1.5 * error:
        return False  # the exact p is far from any level here
    return BoundedMean.of(np.ones(len(values)), values, most).below(0) <= level


def tracked(marks: np.ndarray) -> bool:
    """As ``track`` does it: each checkpoint and each trend against the first one."""
    level = ALPHA / (LOOKS * PLANNED)
    for number in range(1, len(marks)):
        if lost(marks[number] - marks[0], 1.0, level):
            return True
        if number + 1 >= FEWEST:
            by = slope(number + 1)
            if lost(by @ marks[: number + 1], float(by[by > 0].sum()), level):
                return True
    return False


def against_previous(marks: np.ndarray) -> bool:
    return any(lost(now - before, 1.0, ALPHA) for before, now in pairwise(marks))


def against_best(marks: np.ndarray) -> bool:
    best = marks[0]
    for now in marks[1:]:
        if lost(now - best, 1.0, ALPHA):
            return True
        best = max(best, now, key=np.mean)
    return False


def against_first(marks: np.ndarray) -> bool:
    return any(lost(now - marks[0], 1.0, ALPHA) for now in marks[1:])


def multiplied(marks: np.ndarray) -> bool:
    """An e-process that takes checkpoints as independent samples: it stakes a fifth on
    losses (Waudby-Smith & Ramdas 2024), and multiplies what each checkpoint gives."""
    growth = np.log1p(-0.2 * (marks[1:] - marks[0])).sum(1)
    return bool((np.cumsum(growth) >= np.log(1 / ALPHA)).any())


WAYS: dict[str, Watch] = {
    "track": tracked,
    "against the first at 5 %": against_first,
    "against the previous at 5 %": against_previous,
    "against the best at 5 %": against_best,
    "e-values multiplied": multiplied,
}


@dataclass(frozen=True)
class Case:
    prompts: int
    decline: float
    common: float
    way: str
    trials: int = TRIALS

    @property
    def name(self) -> str:
        what = f"{self.decline:g} lost over 25" if self.decline else f"{LENGTH} equal"
        seeds = "same seed" if self.common else "other seeds"
        return f"{what} checkpoints, {self.prompts} prompts, {seeds}: {self.way}"

    def measure(self) -> dict[str, Any]:
        rng = np.random.default_rng(zlib.crc32(self.name.rpartition(":")[0].encode()))
        alarms = sum(
            WAYS[self.way](stream(self.prompts, self.decline, self.common, rng))
            for _ in range(self.trials)
        )
        span = stats.binomtest(alarms, self.trials).proportion_ci(0.95)
        return {
            "case": self.name,
            "trials": self.trials,
            "equal": not self.decline,
            "way": self.way,
            "alarms": alarms / self.trials,
            "interval": [span.low, span.high],
        }


def cases() -> Iterator[Case]:
    for prompts, common in ((60, 0.0), (277, 0.0), (277, 0.8), (553, 0.0)):
        yield Case(prompts, 0.0, common, "track")
    for prompts, common in ((277, 0.0), (277, 0.8), (553, 0.0)):
        yield Case(prompts, 0.1, common, "track")
    for way in list(WAYS)[1:]:
        for decline in (0.0, 0.1):
            yield Case(277, decline, 0.0, way)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| stream | streams | an alarm in | 95 % interval |", "|---|---|---|---|"]
    for row in rows:
        low, high = row["interval"]
        lines.append(
            f"| {row['case']} | {row['trials']} | {row['alarms']:.3f} | [{low:.3f}, {high:.3f}] |"
        )
    return "\n".join(lines)
