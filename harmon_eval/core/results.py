"""What a task of a run came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harmon_eval.core.tasks import Interval

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Count:
    """How many scored samples, and how many independent groups, a metric is based on.

    ``unscored``: how many more it would count if they had a mark, or at most that many."""

    n: int
    groups: int
    unscored: int = 0


@dataclass(frozen=True)
class Floor:
    """The floor of a score: the best score of any constant ``reply``."""

    reply: str
    score: float


@dataclass(frozen=True)
class Scores:
    """The metrics of one task in one run, as in ``metrics.json``.

    ``n`` of ``total`` samples were scored. ``counts`` holds n and groups for each metric,
    ``unscored`` how often each reason occurred. ``intervals`` (95 %) are for prompts like these,
    ``seed_intervals`` for these very prompts with other seeds, where prompts were drawn more than
    once. The prompts of a metric in ``census`` are all there are, so its interval is for other
    seeds; ``census_strata`` are the strata for which this is so.
    ``bounds`` are the headline metric if all unscored samples were wrong, and if all were right.
    ``floor``: the score of the best constant reply. ``floors``: what trivial models get in a
    metric, by its name and theirs (``Task.floors``). ``missing``: the strata of which nothing is
    scored, as with a small ``limit``."""

    task: str
    headline: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    n: int
    total: int
    unscored: Mapping[str, int]
    counts: Mapping[str, Count] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    bounds: Interval | None = None
    floor: Floor | None = None
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seed_intervals: Mapping[str, Interval] = field(default_factory=dict)
    census: tuple[str, ...] = ()
    census_strata: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def score(self) -> float | None:
        """The headline metric; None if nothing could be scored."""
        return self.metrics.get(self.headline)

    @property
    def interval(self) -> Interval | None:
        """Its 95 % interval; None if it has none or there are too few groups."""
        return self.intervals.get(self.headline)

    @property
    def counted(self) -> int:
        """How many samples the headline counts: at most ``n``, as where it is of one part only."""
        count = self.counts.get(self.headline)
        return self.n if count is None else count.n


def _no_rows() -> None:
    return None


@dataclass(frozen=True)
class Result(Scores):
    """The result of one task in one run: its metrics, and ``rows`` with the marks behind them.

    ``read`` gives the rows, so that those of a run need not be held beside the run folder."""

    read: Callable[[], pd.DataFrame | None] = field(default=_no_rows, repr=False, compare=False)

    @property
    def rows(self) -> pd.DataFrame | None:
        return self.read()
