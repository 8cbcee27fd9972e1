"""The core types of the harness: requests, models, tasks, metrics and results.

Data moves one way::

    Task.samples -> Sample -> Responder -> response on disk -> Answer
      -> Task.mark -> rows on disk -> Task.summarize -> Result
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL import Image

Row = dict[str, Any]
Interval = tuple[float, float]
NOT_GIVEN = "not given"  # the fingerprint of a model that does not identify its weights


class UserError(Exception):
    """Wrong usage or input. The message is one line and says what to do (exit code 2)."""


class Unscorable(Exception):
    """The protocol cannot mark this response, so the sample counts as unscored.

    ``reply`` holds the reply, if there was one."""

    def __init__(self, reason: str = "", reply: str = "") -> None:
        super().__init__(reason)
        self.reply = reply


class InstrumentMissing(UserError):
    """An instrument is not available. Responses stay stored, and ``mark`` can continue later."""


# -- requests ----------------------------------------------------------------------------------


@runtime_checkable
class Request(Protocol):
    """What a model is asked, as a frozen dataclass.

    ``verb`` is the method of ``Responder`` that answers it. ``gives`` says what that method returns
    for each request: "image" (PIL), "text" (str) or "vector" (a one-dimensional NumPy array). The
    runner sets ``seed`` from (run seed, task, sample id). Reports show ``text`` and ``files`` (the
    input images). To add a kind of request, add a class like this and a method of ``Responder``.
    """

    verb: ClassVar[str]
    gives: ClassVar[str]
    deed: ClassVar[str]  # completes "this model cannot ..."

    @property
    def seed(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def files(self) -> tuple[Path, ...]: ...


@dataclass(frozen=True, slots=True)
class Draw:
    """Generate one image for ``prompt``.

    ``index`` numbers the images of one prompt, so that images made elsewhere can be matched to
    requests."""

    verb: ClassVar[str] = "draw"
    gives: ClassVar[str] = "image"
    deed: ClassVar[str] = "draw images"

    prompt: str
    seed: int = 0
    index: int = 0

    @property
    def text(self) -> str:
        return self.prompt

    @property
    def files(self) -> tuple[Path, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer ``question`` about ``images`` (files, in order; empty for a question about text).

    ``system`` is the system message, if a judge's protocol has one."""

    verb: ClassVar[str] = "ask"
    gives: ClassVar[str] = "text"
    deed: ClassVar[str] = "answer questions"

    question: str
    images: tuple[Path, ...] = ()
    max_new_tokens: int = 64
    seed: int = 0
    system: str = ""

    @property
    def text(self) -> str:
        return self.question

    @property
    def files(self) -> tuple[Path, ...]:
        return self.images

    def parts(self) -> list[str | Path]:
        """Texts and images in order, for models that accept them interleaved.

        Images come first. But if the question has a marker for each image, such as ``<image 2>``,
        each image replaces its marker. The marker that appears first stands for the first image
        (MMMU's convention)."""
        texts = re.split(r"(<image \d>)", self.question)
        markers = list(dict.fromkeys(texts[1::2]))
        if not markers or len(markers) != len(self.images):
            return [*self.images, self.question]
        own = dict(zip(markers, self.images, strict=True))
        parts = [own[text] if k % 2 else text for k, text in enumerate(texts)]
        return [part for part in parts if isinstance(part, Path) or part.strip()]


@dataclass(frozen=True, slots=True)
class Embed:
    """Compute the feature vector of the image file ``image``.

    ``view`` 0 is the unchanged image, k >= 1 its k-th random crop. ``files.images.viewed`` opens
    both."""

    verb: ClassVar[str] = "embed"
    gives: ClassVar[str] = "vector"
    deed: ClassVar[str] = "embed images"

    image: Path
    view: int = 0
    seed: int = 0

    @property
    def text(self) -> str:
        return ""

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.image,)


# -- samples and answers -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a benchmark.

    The model sees only ``request``; ``target`` is only for marking. ``id`` is unique within the
    task and made of plain path segments: an image response is stored at ``images/{id}.png``.
    ``group`` names what samples share (a prompt or an image). Intervals resample groups within each
    ``stratum`` (a part whose size the benchmark fixes, such as a GenEval tag).

    ``after`` lists ids in the same group that must be answered first. Then ``Task.follow`` makes
    the request from the earlier answers; until then, ``request`` only shows the kind of request.
    If an earlier sample has no answer, this one is unscored."""

    id: str
    request: Request
    target: Mapping[str, Any]
    group: str
    stratum: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample with the request that was asked, and its stored response: a PNG file, a reply or a
    feature vector."""

    sample: Sample
    response: Path | str | np.ndarray

    @property
    def image(self) -> Path:
        assert isinstance(self.response, Path)
        return self.response

    @property
    def reply(self) -> str:
        assert isinstance(self.response, str)
        return self.response


class Reply(str):
    """A reply with details from its source: the model that answered, and tokens in and out.

    ``flaw`` says why it is not an answer, or is empty (``replies.thoughts``). ``cut``: the reason
    is that it reached the token limit."""

    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    flaw: str = ""
    cut: bool = False


class Responder:
    """A model under test, or a judge. Override the methods for what it can do. Each takes a list
    and returns a list in the same order.

    ``name`` and ``fingerprint`` (hash of the weights) identify it. ``settings`` are its generation
    settings (guidance scale, steps, image size ...); by default, runs that differ in them are not
    compared. All three are stored in the provenance. ``about`` is more provenance that is never
    compared (training time, steps). If a single request fails, return an ``Exception`` for it."""

    name: str = ""
    fingerprint: str = ""
    settings: Mapping[str, Any] = {}
    about: Mapping[str, Any] = {}

    def can(self, verb: str) -> bool:
        """Whether this model answers requests of this verb."""
        own = getattr(type(self), verb, None)
        return own is not None and own is not getattr(Responder, verb, None)

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None:
        """Called with all samples of the task ``name`` before they are asked.

        Raises UserError if the model has nothing to answer them with."""
        if task.images_only:
            raise UserError(
                f"{name} marks images that were made elsewhere: give --model folder:IMAGES"
            )

    def reads(self, request: Request) -> Sequence[Path]:
        """The image files opened to answer ``request``, to find how many requests fit in memory."""
        return request.files

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        raise UserError(f"{self.name} cannot draw images")

    def ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        raise UserError(f"{self.name} cannot answer questions")

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray | Exception]:
        raise UserError(f"{self.name} cannot embed images")


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image made elsewhere, in a folder with a published layout (``Task.layout``).

    ``sample`` is the id of the sample that it answers, if the layout tells; ``prompt`` is the text
    that it was generated from. The image is matched by id if only the id is given, or if the prompt
    equals the sample's. Otherwise the n-th image of a prompt answers the n-th sample with it.
    ``grid``: the file holds four images in a 2 x 2 grid, which answer the sample and the following
    ones with its prompt. ``rewritten`` is the rewritten prompt that it was generated from; it is
    not used for matching, but then the sample's target must hold ``target``."""

    file: Path
    prompt: str = ""
    sample: str = ""
    grid: bool = False
    rewritten: str = ""
    target: Mapping[str, Any] = field(default_factory=dict)


# -- a benchmark's data ------------------------------------------------------------------------


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
    name if it differs from the task's (several tasks may share one)."""

    files: tuple[str, ...] = ()
    text: str = ""
    downloads: tuple[Remote, ...] = ()
    make: Callable[[Path], None] | None = None
    folder: str = ""
    version: str = "1"


@dataclass(frozen=True)
class Data:
    """A task's data in one suite, passed to ``Task.samples``."""

    suite: str
    find: Callable[[], Path]
    images_per_prompt: int = 4

    @property
    def folder(self) -> Path:
        """The folder with the task's files in the benchmark's official formats.

        Raises UserError naming the missing file and where to put it."""
        return self.find()

    @classmethod
    def at(cls, folder: Path, suite: str = "official", images_per_prompt: int = 4) -> Data:
        """The data in a known folder."""
        return cls(suite, lambda: folder, images_per_prompt)


# -- a benchmark -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """What a number returned by ``summarize`` means.

    In ``name``, ``*`` stands for any text, as in ``fid[*]``. ``higher_is_better`` is None if it is
    neither good nor bad, such as a count. Scores go from 0 to ``maximum``; None means no upper
    limit. ``rows(rows, name)`` gives a mask of the rows it counts (default: all). Set ``interval``
    to False for metrics without an interval (counts, chi-squares)."""

    name: str
    higher_is_better: bool | None = True
    maximum: float | None = 1.0
    rows: Callable[[pd.DataFrame, str], pd.Series] | None = None
    headline: bool = False
    interval: bool = True

    def names(self, metric: str) -> bool:
        """Whether this metric has the name ``metric``."""
        pattern = ".*".join(map(re.escape, self.name.split("*")))
        return re.fullmatch(pattern, metric, re.DOTALL) is not None


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
Judged = Callable[[Sample, Path | None], Sequence[Ask]]
Bounds = Callable[[Sample], tuple["str | Row", "str | Row"]]
Files = Mapping[str, "str | bytes"]
FilesBefore = Callable[[Sequence[Sample]], Files]
FilesAfter = Callable[[Sequence[Sample], "pd.DataFrame"], Files]
Intervals = Callable[["pd.DataFrame", Summarize], dict[str, Interval]]
Replicate = Callable[["pd.DataFrame"], Mapping[str, Any]]


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
    other layout. ``rewritten`` is the variant (``TASK:REWRITTEN``) for images of the same samples
    that were generated from other prompts. With ``images_only``, no model is asked for images.
    ``from_marks`` makes a variant's rows from the rows of the task itself, if this needs no
    responses or instruments.

    ``columns``: those that ``summarize`` needs when rows are resampled for intervals (``*`` stands
    for any text; default: all). ``intervals`` replaces the cluster bootstrap if it does not suit a
    metric. ``replicates`` replaces the paired comparison (``metrics.statistics.Replicates``)."""

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
    rewritten: str = ""
    images_only: bool = False
    from_marks: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    columns: tuple[str, ...] = ("*",)
    intervals: Intervals | None = None
    replicates: Replicate | None = None

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


# -- results -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """How many scored samples, and how many independent groups, a metric is based on."""

    n: int
    groups: int


@dataclass(frozen=True)
class Floor:
    """The floor of a score: the best score of any constant ``reply``."""

    reply: str
    score: float


@dataclass(frozen=True)
class Scores:
    """The metrics of one task in one run, as in ``metrics.json``.

    ``n`` of ``total`` samples were scored. ``counts`` holds n and groups for each metric,
    ``unscored`` how often each reason occurred. ``bounds`` are the headline metric if all unscored
    samples were wrong, and if all were right. ``floor``: the score of the best constant reply."""

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

    @property
    def score(self) -> float | None:
        """The headline metric; None if nothing could be scored."""
        return self.metrics.get(self.headline)

    @property
    def interval(self) -> Interval | None:
        """Its 95 % interval; None if it has none or there are too few groups."""
        return self.intervals.get(self.headline)


@dataclass(frozen=True)
class Result(Scores):
    """The result of one task in one run: its metrics, and ``rows`` with the marks behind them."""

    rows: pd.DataFrame | None = None
