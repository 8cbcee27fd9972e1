"""The nouns of the harness: what is asked, what answers, how answers are marked and added up.

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
NOT_GIVEN = "not given"  # the fingerprint of a model that does not say which weights it has


class UserError(Exception):
    """Wrong usage or input. The message is one line that also says what to do (exit code 2)."""


class Unscorable(Exception):
    """This response cannot be marked by the protocol; the sample is counted as unscored.

    ``reply`` is what was said, where something was."""

    def __init__(self, reason: str = "", reply: str = "") -> None:
        super().__init__(reason)
        self.reply = reply


class InstrumentMissing(UserError):
    """An instrument is not available here; responses stay stored and ``mark`` continues later."""


# -- requests ----------------------------------------------------------------------------------


@runtime_checkable
class Request(Protocol):
    """What a model is asked, as a frozen dataclass.

    ``verb`` is the method of ``Responder`` that answers it, ``gives`` what that returns for each
    request: "image" (PIL), "text" (str) or "vector" (a NumPy array of one dimension). ``seed`` is
    set by the runner from (run seed, task, sample id). ``text`` and ``files`` (input images) are
    what people see of it in reports. A new kind of request is one such class and one method of
    ``Responder``."""

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
    """Draw one image for ``prompt``.

    ``index`` numbers the drawings of one prompt, so that images made elsewhere can be matched to
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
    """Answer ``question`` about ``images`` (files, in order; none for a question about text).

    ``system`` is the system message, where a judge's protocol has one."""

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
        """Texts and images in turn, for models that take them interleaved.

        Images come first. But where the question has a marker for each of them, such as
        ``<image 2>``, each image replaces its own marker; the marker that is mentioned first
        stands for the first image (MMMU's convention)."""
        texts = re.split(r"(<image \d>)", self.question)
        markers = list(dict.fromkeys(texts[1::2]))
        if not markers or len(markers) != len(self.images):
            return [*self.images, self.question]
        own = dict(zip(markers, self.images, strict=True))
        parts = [own[text] if k % 2 else text for k, text in enumerate(texts)]
        return [part for part in parts if isinstance(part, Path) or part.strip()]


@dataclass(frozen=True, slots=True)
class Embed:
    """Give the feature vector of the image file ``image``.

    ``view`` 0 is the image as it is, k >= 1 its k-th random crop: ``files.images.viewed`` opens
    either."""

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

    ``request`` is all that the model sees, ``target`` all that only the marker sees. ``id`` is
    unique within the task, made of plain path segments: an image response is stored at
    ``images/{id}.png``. ``group`` names what samples share (prompt, image): intervals resample
    groups, within ``stratum`` (a part whose size the benchmark fixes, such as a GenEval tag).

    A sample that comes ``after`` others (their ids, of the same group) is asked once they are
    answered. ``Task.follow`` then makes its request from theirs and their answers; until then
    ``request`` says what kind it will be. If an earlier sample has no answer, it is unscored."""

    id: str
    request: Request
    target: Mapping[str, Any]
    group: str
    stratum: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample, with its request as it was asked, and the stored response: a PNG file, a reply,
    or a feature vector."""

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
    """A reply with what its maker says of it: the model that answered, and tokens in and out.

    ``flaw`` says why it is no answer, where it is none (``replies.thoughts``); ``cut``: because it
    reached the token limit."""

    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    flaw: str = ""
    cut: bool = False


class Responder:
    """A model under test, or a judge. Override what it can do; lists in, lists out, same order.

    ``name`` and ``fingerprint`` (hash of the weights) identify it, ``settings`` are the generation
    settings that belong to it (guidance scale, steps, image size ...): all three go into the
    provenance, and runs that differ in them are not compared. ``about`` is further provenance
    that is never compared (training time, steps). A response that failed alone may be returned as
    an ``Exception`` in its place."""

    name: str = ""
    fingerprint: str = ""
    settings: Mapping[str, Any] = {}
    about: Mapping[str, Any] = {}

    def can(self, verb: str) -> bool:
        """Whether this model answers requests of this verb."""
        own = getattr(type(self), verb, None)
        return own is not None and own is not getattr(Responder, verb, None)

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None:
        """Told what it will be asked next: all samples of the task called ``name``.

        Raises UserError where it has nothing to answer them with."""
        if task.images_only:
            raise UserError(
                f"{name} marks images that were drawn elsewhere: give --model folder:IMAGES"
            )

    def reads(self, request: Request) -> Sequence[Path]:
        """The picture files that answering ``request`` opens: so many at a time fit into memory."""
        return request.files

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        raise UserError(f"{self.name} cannot draw images")

    def ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        raise UserError(f"{self.name} cannot answer questions")

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray | Exception]:
        raise UserError(f"{self.name} cannot embed images")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that something else drew, in a folder of a published layout (``Task.layout``).

    ``sample`` is the id of the sample that it answers, where the layout says it; ``prompt`` the
    text that it was drawn from. By id if only that is given, or the prompt is the sample's; else
    the n-th picture of a prompt answers the n-th sample that asks for it. ``grid``: the layout
    puts four drawings into one picture of 2 x 2, which answer the sample and those after it that
    have its prompt. ``rewritten`` is another text that it was drawn from, which does not count,
    and ``target`` what the sample's target must hold where such a picture answers it."""

    file: Path
    prompt: str = ""
    sample: str = ""
    grid: bool = False
    rewritten: str = ""
    target: Mapping[str, Any] = field(default_factory=dict)


# -- a benchmark's data ------------------------------------------------------------------------


@dataclass(frozen=True)
class Remote:
    """A published file at ``url``; ``place`` is where it belongs in its folder.

    ``sha256`` and ``md5`` are as much of the digest as its publisher states, from the left; empty
    where none does. ``unpack`` is a pattern of the members of an archive to unpack beside it; the
    pattern's group is a member's place there."""

    url: str
    place: str
    sha256: str = ""
    md5: str = ""
    unpack: str = ""


@dataclass(frozen=True)
class Source:
    """Where a task's data come from in one suite.

    ``files``: file patterns; one match marks the task's folder, the published form comes first.
    ``text`` tells people what to put there, ``downloads`` are what ``prepare`` fetches. ``make``
    writes the files into an empty folder; raise ``version`` when it writes other ones. ``folder``
    is the folder's name where it is not the task's (several tasks may share one)."""

    files: tuple[str, ...] = ()
    text: str = ""
    downloads: tuple[Remote, ...] = ()
    make: Callable[[Path], None] | None = None
    folder: str = ""
    version: str = "1"


@dataclass(frozen=True)
class Data:
    """A task's data in one suite, handed to ``Task.samples``."""

    suite: str
    find: Callable[[], Path]
    images_per_prompt: int = 4

    @property
    def folder(self) -> Path:
        """The folder with the task's files in the benchmark's official formats.

        Raises UserError that names the missing file and where to put it."""
        return self.find()

    @classmethod
    def at(cls, folder: Path, suite: str = "official", images_per_prompt: int = 4) -> Data:
        """The data in a folder that is known already."""
        return cls(suite, lambda: folder, images_per_prompt)


# -- a benchmark -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """What a number that ``summarize`` gives means.

    ``name`` may hold ``*`` for any text: ``fid[*]``. ``higher_is_better`` is None for a number that
    is neither good nor bad, such as a count. Scores go from 0 to ``maximum``; None: there is no
    upper end. ``rows`` (rows, metric name) gives the mask of the rows it counts; by default all.
    ``interval`` False: it has none (counts, chi-squares)."""

    name: str
    higher_is_better: bool | None = True
    maximum: float | None = 1.0
    rows: Callable[[pd.DataFrame, str], pd.Series] | None = None
    headline: bool = False
    interval: bool = True

    def names(self, metric: str) -> bool:
        """Whether ``metric`` is this one."""
        pattern = ".*".join(map(re.escape, self.name.split("*")))
        return re.fullmatch(pattern, metric, re.DOTALL) is not None


def count(name: str) -> Metric:
    """A number of samples or replies: neither good nor bad, without an interval."""
    return Metric(name, higher_is_better=None, maximum=None, interval=False)


@dataclass(frozen=True)
class About:
    """What a task says of itself (docs/tasks.md is made from it).

    ``protocol`` is the source that is followed (repository @ commit), ``differs`` what differs
    from it and why, ``compares`` how the numbers compare with other toolkits, ``licence`` that of
    the data, ``size`` what is asked, ``cost`` what it takes. ``version`` is raised whenever a
    change moves a number: runs of different versions are never compared."""

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
    """A benchmark: what to ask, how to mark one batch of answers, how to add the marks up.

    ``mark`` returns one row an answer, in order; a row that holds ``unscored`` (a reason) is
    counted and never averaged. The runner adds ``id``, ``group`` and ``stratum``. ``summarize`` is
    pure and sees scored rows only; ``metrics`` says what its numbers mean, in order of precedence.

    ``sources``: suite name -> where the data come from. ``instruments``: role -> the default
    instrument, its name or the function that opens it, where the suite has none of its own for
    that role. ``follow`` makes the request of a sample that comes after others. ``judged`` gives
    what the judge is asked about a sample, with its image, or None before it is drawn. ``bounds``
    gives the marks of a sample if it were wrong and if it were right, as rows or as replies to be
    marked. ``files_before`` and ``files_after`` marking are the benchmark's own files, relative
    path -> content. ``layout`` reads a folder of images in the benchmark's published layout; None:
    it is in another one. ``rewritten`` is the variant (``TASK:REWRITTEN``) for images
    of the same samples that were drawn from other prompts; a task that is ``images_only`` asks no
    model to draw. ``from_marks`` makes the rows of a variant from those of the task itself, where
    that needs neither responses nor instruments.

    ``columns`` are those that ``summarize`` reads when rows are resampled for intervals (with
    ``*`` for any text; by default all). ``intervals`` replaces the cluster bootstrap where that
    does not suit a metric, and ``replicates`` the paired comparison: two runs are then compared
    part by part (see ``metrics.statistics.Replicates``)."""

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
        """What the number ``name`` means. Raises KeyError for one that is not declared."""
        found = next((metric for metric in self.metrics if metric.names(name)), None)
        if found is None:
            raise KeyError(name)
        return found

    @property
    def main(self) -> Metric:
        """The headline metric: the first that is marked so, else the first."""
        return next((metric for metric in self.metrics if metric.headline), self.metrics[0])

    @property
    def headline(self) -> str:
        """Name of the headline metric, without the protocol that may stand in brackets."""
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
    """How many scored samples, and how many independent groups of them, a number rests on."""

    n: int
    groups: int


@dataclass(frozen=True)
class Floor:
    """The baseline floor of a score: the best that one constant ``reply`` gets."""

    reply: str
    score: float


@dataclass(frozen=True)
class Scores:
    """The numbers of one task of one run, as ``metrics.json`` holds them.

    ``n`` of ``total`` samples were scored; ``counts`` has n and groups of each metric; ``unscored``
    the reasons, with how often; ``bounds`` are the headline metric if all unscored samples were
    wrong, and if all were right; ``floor`` is what one constant reply would get."""

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
        """The headline metric; None where nothing could be scored."""
        return self.metrics.get(self.headline)

    @property
    def interval(self) -> Interval | None:
        """Its 95 % interval; None where it has none, or there are too few groups for one."""
        return self.intervals.get(self.headline)


@dataclass(frozen=True)
class Result(Scores):
    """What one task of one run came to: its numbers, and ``rows`` with the marks behind them."""

    rows: pd.DataFrame | None = None
