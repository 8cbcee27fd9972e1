"""The non-inferiority test at its margin: 12 to 553 groups, marks near 0 and 1, several drawings.

In each cell the true loss is the margin, so that both "no worse" and "worse" are false. The t test,
which needs a normal distribution, is beside the gate's.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from harmon_eval.comparing.bounds import BoundedMean
from harmon_eval.comparing.paired import ALPHA

GROUPS = (12, 60, 277, 553)
TRIALS, EQUAL = 500, 100


@dataclass(frozen=True)
class Marks:
    """Groups of ``each`` 0/1 marks whose mean chance is ``chance``. A ``common`` share of the two
    sides' random numbers is the same. The loss is on a ``share`` of the groups."""

    name: str
    each: int
    chance: float
    margin: float
    common: float
    share: float = 1.0

    def differences(self, groups: int, loss: float, rng: np.random.Generator) -> np.ndarray:
        """(groups,) in marks; in the mean -``loss``."""
        spread = 8.0  # of a beta distribution over groups: between a coin and a constant
        own = (
            self.chance
            if self.chance == 1
            else rng.beta(self.chance * spread, (1 - self.chance) * spread, (groups, 1))
        )
        lost = np.where(rng.random((groups, 1)) < self.share, loss / self.share, 0.0)
        before = lost + (1 - lost) * own
        first = rng.random((groups, self.each))
        same = rng.random(first.shape) < self.common
        second = np.where(same, first, rng.random(first.shape))
        return np.asarray((second < before - lost).mean(1) - (first < before).mean(1))


KINDS = (
    Marks("1 mark, all right", 1, 1.0, 0.05, 0.9),
    Marks("1 mark, 0.98 right", 1, 0.98, 0.02, 0.9),
    Marks("1 mark, 0.02 right", 1, 0.02, 0.05, 0.5),
    Marks("1 mark, 0.70 right", 1, 0.7, 0.05, 0.9),
    Marks("4 drawings, 0.98 right", 4, 0.98, 0.05, 0.8),
    Marks("4 drawings, 0.60 right", 4, 0.6, 0.05, 0.0),
    Marks("4 drawings, 0.60 right, same seed", 4, 0.6, 0.05, 0.9),
    Marks("4 drawings, 0.95 right, lost on each fifth prompt", 4, 0.95, 0.05, 0.9, 0.2),
)


@dataclass(frozen=True)
class Cell:
    marks: Marks
    groups: int
    trials: int = TRIALS

    @property
    def name(self) -> str:
        return f"{self.groups} groups: {self.marks.name}"

    def measure(self) -> dict[str, Any]:
        """Shares of false verdicts at the margin, and of "no worse" for equal checkpoints."""
        margin, rng = self.marks.margin, np.random.default_rng(zlib.crc32(self.name.encode()))
        no_worse = worse = normal = equal = 0
        for _ in range(self.trials):
            values = self.marks.differences(self.groups, margin, rng)
            evidence = BoundedMean.of(np.ones(self.groups), values, 1.0)
            no_worse += evidence.above(-margin) <= ALPHA
            worse += evidence.below(-margin) <= ALPHA
            reach = stats.t.isf(ALPHA, self.groups - 1) * values.std(ddof=1) / self.groups**0.5
            normal += values.mean() - reach > -margin
        for _ in range(EQUAL):
            values = self.marks.differences(self.groups, 0.0, rng)
            equal += BoundedMean.of(np.ones(self.groups), values, 1.0).above(-margin) <= ALPHA
        counts = {"no_worse": no_worse, "worse": worse, "t": normal}
        return {
            "case": self.name,
            "trials": self.trials,
            "margin": margin,
            **{name: count / self.trials for name, count in counts.items()},
            "equal": equal / EQUAL,
        }


def cells() -> Iterator[Cell]:
    for marks in KINDS:
        for groups in GROUPS:
            yield Cell(marks, groups)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        '| groups and marks | margin | false "no worse" | the same by t | false "worse" '
        '| "no worse" if equal |',
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['case']} | {row['margin']} | {row['no_worse']:.3f} | {row['t']:.3f} "
            f"| {row['worse']:.3f} | {row['equal']:.2f} |"
        )
    return "\n".join(lines)
