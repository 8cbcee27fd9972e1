"""A benchmark: where its data come from, what its numbers mean, and its functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core.requests import Ask, Request, Score
from harmon_eval.core.samples import Answer, Drawn, Sample

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Row = dict[str, Any]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Remote:
    """A published file at ``url``; ``place`` is its path in its folder.

    ``sha256`` and ``md5`` hold the first digits of the digest, as many as the publisher states, or
    nothing. ``unpack`` is a pattern for the members of an archive to unpack beside it. The
    pattern's group is the member's path there."""

    url: str
    place: str
    sha256: str = ""
    md5: str = ""
    unpack: str = ""


@dataclass(frozen=True)
class Source:
    """Where a task's data come from in one suite.

    ``files``: file patterns. One match identifies the task's folder; list the published form first.
    ``text`` tells people what to put there. ``prepare`` fetches the ``downloads``. ``make`` writes
    the files into an empty folder; raise ``version`` when they change. ``folder`` is the folder's
    name if it differs from the task's (several tasks may share one). ``hub`` is the id of the
    dataset with these samples on the Hugging Face hub, where there is one."""

    files: tuple[str, ...] = ()
    text: str = ""
    downloads: tuple[Remote, ...] = ()
    make: Callable[[Path], None] | None = None
    folder: str = ""
    version: str = "1"
    hub: str = ""


@dataclass(frozen=True)
class Data:
    """A task's data in one suite, passed to ``Task.samples``.

    ``fetching``: the user has named the task, so what its argument names may be downloaded. False
    where only a run folder names it, which anybody may have made. ``held``: for a task that marks
    ``any_images``, the names of the finished images that the model has (``Responder.holds``)."""

    suite: str
    find: Callable[[], Path]
    images_per_prompt: int = 4
    fetching: bool = True
    held: Callable[[], Sequence[str]] = tuple

    @property
    def folder(self) -> Path:
        """The folder with the task's files in the benchmark's official formats.

        Raises UserError naming the missing file and where to put it."""
        return self.find()

    @classmethod
    def at(cls, folder: Path, suite: str = "official", images_per_prompt: int = 4) -> Data:
        """The data in a known folder."""
        return cls(suite, lambda: folder, images_per_prompt)


@dataclass(frozen=True)
class Metric:
    """What a number returned by ``summarize`` means.

    In ``name``, ``*`` stands for any text, as in ``fid[*]``. ``higher_is_better`` is None if it is
    neither good nor bad, such as a count. Scores go from 0 to ``maximum``; None means no upper
    limit. ``rows(rows, name)`` gives a mask of the rows it counts (default: all). Set ``interval``
    to False for metrics without an interval (counts, chi-squares). A ``fallback`` is the headline
    where the one that is declared could not be computed, as KID of a few images is for FID.

    The interval follows from what the metric is; the helpers are in ``metrics.shares``.
    ``of(rows, name)`` gives two arrays (rows,) and says that the metric is ``maximum`` times the
    sum of the first over the sum of the second, over the rows it counts: marks between 0 and their
    weight, and the weights. ``mean_of(names, name)`` says that the metric is a weighted sum of
    others (metric -> weight), chosen from the ``names`` that ``summarize`` returned. ``span(rows,
    name)`` computes the interval of a metric that is no share, or None. A metric with none of the
    three gets its interval by leaving out one group at a time, which calls ``summarize`` often.
    ``strata``: the weights of the strata add up to the same whatever is drawn, as in a mean over
    them. That is found out by itself where all weights of a stratum are equal.
    """

    name: str
    higher_is_better: bool | None = True
    maximum: float | None = 1.0
    rows: Callable[[pd.DataFrame, str], pd.Series] | None = None
    headline: bool = False
    fallback: bool = False
    interval: bool = True
    of: Callable[[pd.DataFrame, str], tuple[np.ndarray, np.ndarray]] | None = None
    mean_of: Callable[[Collection[str], str], Mapping[str, float]] | None = None
    span: Callable[[pd.DataFrame, str], Interval | None] | None = None
    strata: bool = False

    def names(self, metric: str) -> bool:
        """Whether this metric has the name ``metric``."""
        pattern = ".*".join(map(re.escape, self.name.split("*")))
        return re.fullmatch(pattern, metric, re.DOTALL) is not None

    @property
    def is_count(self) -> bool:
        """Whether it is a single count, as ``count`` makes it."""
        return self == count(self.name) and "*" not in self.name


def count(name: str) -> Metric:
    """A metric that counts samples or replies: neither good nor bad, without an interval."""
    return Metric(name, higher_is_better=None, maximum=None, interval=False)


@dataclass(frozen=True)
class About:
    """How a task describes itself (docs/tasks.md is made from this).

    ``protocol`` is the source it follows (repository @ commit), ``differs`` says what differs from
    it and why, ``compares`` how scores compare with other toolkits, ``licence`` is the data's,
    ``size`` says how much is asked, ``cost`` what a run takes. Raise ``version`` whenever a change
    moves a score: runs of different versions are never compared."""

    paper: str
    version: str
    protocol: str = ""
    differs: str = ""
    compares: str = ""
    licence: str = ""
    size: str = ""
    cost: str = ""


Instruments = Mapping[str, Any]
Samples = Callable[[Data], Iterable[Sample]]
Mark = Callable[[Sequence[Answer], Instruments], Sequence[Row]]
Summarize = Callable[["pd.DataFrame"], dict[str, float]]
Follow = Callable[[Sample, Sequence[Answer]], Request]
Judged = Callable[[Sample, Path | None], Sequence[Ask | Score]]
Bounds = Callable[[Sample], tuple["str | Row", "str | Row"]]
Census = Callable[[Iterable[Sample]], Sequence[str]]
Files = Mapping[str, "str | bytes"]
FilesBefore = Callable[[Sequence[Sample]], Files]
FilesAfter = Callable[[Sequence[Sample], "pd.DataFrame"], Files]
Published = Callable[[Sequence[Answer]], Mapping[str, Path]]
Intervals = Callable[["pd.DataFrame", Summarize], dict[str, Interval]]
Points = Callable[[Sample, Mapping[str, Any]], Sequence[tuple[str, bool | float]]]
Replicate = Callable[["pd.DataFrame"], Mapping[str, Any]]


@dataclass(frozen=True)
class Reward:
    """What one image is worth by itself, for trainers that ask for it (the command ``serve``).

    ``scores(row)`` are the numbers of a marked row, the headline first. ``target(prompt,
    metadata)`` makes the target of a sample from what a trainer sends with its prompt, or gives
    None for metadata that do not hold it; then the prompt is looked up among the task's samples.
    It raises Unscorable, naming the field, for metadata with a flaw. ``reads_base``: of a variant,
    ``scores`` also reads rows of the task that it is made from (``Task.from_marks``)."""

    scores: Callable[[Row], Mapping[str, float]]
    target: Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None] | None = None
    reads_base: bool = False

    @classmethod
    def of_columns(
        cls,
        *names: str,
        target: Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None] | None = None,
    ) -> Reward:
        """Columns of the row, as they are."""
        return cls(lambda row: {name: float(row[name]) for name in names}, target)


@dataclass(frozen=True)
class Task:
    """A benchmark: what to ask, how to mark a batch of answers, how to compute the metrics.

    ``mark`` returns one row per answer, in order. A row with ``unscored`` (a reason) is counted but
    never averaged. The runner adds ``id``, ``group`` and ``stratum``. ``summarize`` is pure and
    gets only scored rows. ``metrics`` says what its numbers mean; the first matching entry applies.

    ``sources``: suite name -> where the data come from. ``instruments``: role -> default instrument
    (its name, or a function that opens it), used if the suite has none for that role. ``follow``
    makes the request of a sample that comes after others. ``judged`` returns what to ask the judge
    about a sample; its image is None before it is generated. ``bounds`` returns the marks of a
    sample if it were wrong and if it were right, as rows or as replies to mark. ``files_before``
    and ``files_after`` (marking) return the benchmark's own files, relative path -> content.
    ``layout`` reads an image folder in the benchmark's published layout, or returns None for any
    other layout; ``layout_shown`` says in error messages where that layout has its images.
    ``published`` is the way back: the place of each image in that layout, for the
    command ``export``. ``rewritten`` is the variant (``TASK:REWRITTEN``) for images of the same
    samples that were generated from other prompts. With ``images_only``, no model is asked for
    images. With ``any_images``, finished images are marked whatever they show: each picture that
    ``layout`` finds is a sample (``Data.held``), and they are no part of the task's data, so that
    runs on other images of the same task compare.
    ``from_marks`` makes a variant's rows from the rows of the task itself, if this needs no
    responses or instruments.

    ``reward`` says what one image is worth to a trainer. Without it the column ``correct`` or
    ``score`` of a row does, if there is one.

    A mark that is known in part only, such as a probability of which an endpoint lists the
    likeliest tokens, has its ends in the columns ``least:COLUMN`` and ``most:COLUMN``. Then the
    headline has bounds, as with unscored samples.

    ``points`` returns what a row says question by question: the question's text, and yes or no or a
    score from 0 to 1. Reports show it.
    ``shuffles``: the judge is asked about several points in one request, and the variant
    ``TASK:shuffle=SEED`` asks about them in another order.

    ``floors`` names trivial models, such as one that copies its source image. ``mark`` says in the
    columns ``NAME:COLUMN`` what such a model gets in ``COLUMN`` on the same sample.

    With ``whole_groups``, ``mark`` gets all responses of a group at once; samples of a group stand
    together. ``columns``: those that ``summarize`` needs when rows are resampled (``*`` stands for
    any text; default: all). ``columns_once``: those that it reads besides when they are not, such
    as for a count without an interval (default: all). Naming few keeps a long run's memory small:
    ``summarize`` then gets no ``id``, numbers for ``group`` and categories for ``stratum``, unless
    these are named. ``census`` takes all samples of the data and names the
    strata that hold every prompt there is, so that only the seeds could differ. It has to look at
    the samples, as the data may be a user's own (``--data``). ``also`` are the names that other
    toolkits give to this benchmark, for ``import``. ``contrast`` names the task whose prompts are
    published, where this one has fresh prompts of the same kind. ``intervals`` replaces the
    intervals that follow from ``metrics``. ``replicates`` replaces the paired comparison (see
    ``metrics.statistics.Replicates``)."""

    samples: Samples
    mark: Mark
    summarize: Summarize
    metrics: tuple[Metric, ...]
    about: About
    sources: Mapping[str, Source] = field(default_factory=dict)
    instruments: Mapping[str, str | Callable[..., Any]] = field(default_factory=dict)
    follow: Follow | None = None
    judged: Judged | None = None
    bounds: Bounds | None = None
    files_before: FilesBefore | None = None
    files_after: FilesAfter | None = None
    layout: Callable[[Path], Iterable[Drawn] | None] | None = None
    layout_shown: str = ""
    published: Published | None = None
    rewritten: str = ""
    images_only: bool = False
    any_images: bool = False
    whole_groups: bool = False
    from_marks: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    floors: tuple[str, ...] = ()
    columns: tuple[str, ...] = ("*",)
    columns_once: tuple[str, ...] = ("*",)
    census: Census | None = None
    also: tuple[str, ...] = ()
    contrast: str = ""
    intervals: Intervals | None = None
    replicates: Replicate | None = None
    reward: Reward | None = None
    points: Points | None = None
    shuffles: bool = False

    def metric(self, name: str) -> Metric:
        """The declaration of the metric ``name``. Raises KeyError if there is none."""
        found = next((metric for metric in self.metrics if metric.names(name)), None)
        if found is None:
            raise KeyError(name)
        return found

    @property
    def main(self) -> Metric:
        """The headline metric: the first one declared as headline, otherwise the first one."""
        return next((metric for metric in self.metrics if metric.headline), self.metrics[0])

    @property
    def headline(self) -> str:
        """Name of the headline metric, without a protocol in brackets."""
        return self.main.name.partition("[")[0]

    @property
    def higher_is_better(self) -> bool:
        return self.main.higher_is_better is not False

    @property
    def version(self) -> str:
        return self.about.version
