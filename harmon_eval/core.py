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
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL import Image

    from harmon_eval.metrics.floors import Floor
    from harmon_eval.metrics.statistics import Replicates

Row = dict[str, Any]
Interval = tuple[float, float]


class UserError(Exception):
    """Wrong usage or input. The message is one line that also says what to do (exit code 2)."""


class Unscorable(Exception):
    """This response cannot be marked by the protocol; the sample is counted as unscored."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw one image for ``prompt``.

    ``seed`` is set by the runner from (run seed, task, sample id). ``index`` numbers the
    drawings of one prompt, so that images made elsewhere can be matched to requests.
    """

    prompt: str
    seed: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer ``question`` about ``images`` (files, in order; none for a question about text).

    ``system`` is the text of a turn before it, where a judge's protocol has one."""

    question: str
    images: tuple[Path, ...] = ()
    max_new_tokens: int = 64
    seed: int = 0
    system: str = ""

    def parts(self) -> list[str | Path]:
        """Texts and images in turn, for models that take them so.

        Images come first. But where the question has a marker for each of them, such as
        ``<image 2>``, each stands in the place of its own; the marker that is mentioned first is
        that of the first image (MMMU's way of writing)."""
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

    image: Path
    view: int = 0


@dataclass(frozen=True)
class ModelOptions:
    """What the caller sets on a model under test; None leaves the model's own choice.

    ``cfg`` is the scale of classifier-free guidance, ``steps`` counts MAR iterations,
    ``solver`` is the diffusion head's, ``guidance`` the part of the iterations that is guided,
    ``fast`` the preset of settings that cost less, ``compile`` asks for captured graphs,
    ``image_size`` is the side in pixels, ``kl16`` the VAE's file where weights come without one."""

    device: str | None = None
    dtype: str | None = None
    kl16: Path | None = None
    cfg: float | None = None
    steps: int | None = None
    diffusion_steps: int | None = None
    temperature: float | None = None
    image_size: int | None = None
    solver: str | None = None
    guidance: tuple[float, float] | None = None
    fast: bool | None = None
    compile: bool | None = None

    def given(self) -> dict[str, Any]:
        """The options that are set, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Reply(str):
    """A reply with what its endpoint says of it: the model that answered, and tokens in and out."""

    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0


Request = Draw | Ask | Embed
Response = "Image.Image | str | np.ndarray"


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a benchmark.

    ``request`` is all that the model sees, ``target`` all that only the marker sees. ``id`` is
    unique within the task, made of plain path segments: the response of a ``Draw`` is stored at
    ``images/{id}.png``. ``group`` names what samples share (prompt, image): intervals resample
    groups, within ``stratum`` (a part whose size the benchmark fixes, such as a GenEval tag).
    """

    id: str
    request: Request
    target: Mapping[str, Any]
    group: str
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample with its stored response: a PNG file, a reply, or a feature vector."""

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


class Responder:
    """A model under test, or a judge. Override what it can do; lists in, lists out, same order.

    ``name`` and ``fingerprint`` (hash of the weights) identify it, ``settings`` are the generation
    settings that belong to it (CFG scale, steps, image size ...); all three go into the provenance.
    A response that failed alone may be returned as an ``Exception`` in its place.
    """

    name: str = ""
    fingerprint: str = ""
    settings: Mapping[str, Any] = {}

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        raise UserError(f"{self.name} cannot draw images")

    def ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        raise UserError(f"{self.name} cannot answer questions")

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray | Exception]:
        raise UserError(f"{self.name} cannot embed images")


ModelFactory = Callable[[str, ModelOptions], Responder]


class Suite(Protocol):
    """Where data and measuring instruments come from (``official`` or ``mini``)."""

    name: str
    images_per_prompt: int

    def data(self, task: str) -> Path:
        """Folder with the task's files in the benchmark's official formats.

        Raises UserError that names the missing file and where to put it."""
        ...

    def instrument(self, name: str) -> Any:
        """The measuring instrument ``name``; has an ``identity`` string for the provenance.

        Raises InstrumentMissing."""
        ...


class InstrumentMissing(UserError):
    """The suite has no such instrument here; responses stay stored and ``mark`` continues later."""


Instruments = Mapping[str, Any]
Samples = Callable[[Suite], Iterable[Sample]]
Mark = Callable[[Sequence[Answer], Instruments], Sequence[Row]]
Summarize = Callable[["pd.DataFrame"], dict[str, float]]
Intervals = Callable[["pd.DataFrame", Summarize], dict[str, Interval]]
Replicate = Callable[["pd.DataFrame"], "dict[str, Replicates]"]
Judged = Callable[[Sample, Path | None], Sequence[Ask]]
Extremes = Callable[[Sample], tuple[str, str]]
Assume = Callable[[Sample, bool], Row]
Exports = Callable[[Sequence[Sample], "pd.DataFrame | None"], Mapping[str, "str | bytes"]]


@dataclass(frozen=True)
class Task:
    """A benchmark: what to ask, how to mark one batch of answers, how to add the marks up.

    ``mark`` returns one row an answer, in order; a row that holds ``unscored`` (a reason) is
    counted and never averaged. The runner adds ``id``, ``group`` and ``stratum``. ``summarize`` is
    pure and sees scored rows only. ``instruments`` names what ``mark`` needs from the suite.
    ``headline`` is a metric's name, or its part before "[" where the rest names the protocol.
    ``exports`` (pure) gives the benchmark's own result files as relative path -> content, once
    before marking (rows None) and once after it. ``intervals`` defaults to the cluster bootstrap.
    ``replicates`` is for metrics that resampling would bias, such as FID: two runs are compared
    part by part. Parts go by the position of the samples.
    ``judged`` gives what the judge is asked about a sample, with its image or before it is drawn.

    The texts go into docs/tasks.md: ``protocol`` is the source that is followed (repository @
    commit), ``differs`` what differs from it and why, ``compares`` how the numbers compare with
    other toolkits, ``licence`` that of the data, ``size`` what is asked, ``cost`` what it takes.
    ``extremes`` gives a worst and a best reply to a question; ``assume``, which follows from it,
    the row that a sample would have if it were wrong or right, for bounds where some are unscored.
    """

    samples: Samples
    mark: Mark
    summarize: Summarize
    headline: str
    higher_is_better: bool
    paper: str
    version: str
    instruments: tuple[str, ...] = ()
    intervals: Intervals | None = None
    replicates: Replicate | None = None
    exports: Exports | None = None
    judged: Judged | None = None
    licence: str = ""
    size: str = ""
    protocol: str = ""
    differs: str = ""
    compares: str = ""
    cost: str = ""
    extremes: Extremes | None = None
    assume: Assume | None = None

    def __post_init__(self) -> None:
        if self.extremes is not None and self.assume is None:
            object.__setattr__(self, "assume", self._mark_of_extreme)

    def _mark_of_extreme(self, sample: Sample, right: bool) -> Row:
        assert self.extremes is not None
        return self.mark([Answer(sample, self.extremes(sample)[right])], {})[0]


@dataclass(frozen=True)
class Result:
    """What one task of one run came to. ``n`` of ``total`` samples were scored; ``bounds`` are the
    headline's if all unscored ones were wrong, and if all were right, ``floor`` is what one
    constant reply would get of it."""

    task: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    n: int
    total: int
    unscored: Mapping[str, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    rows: pd.DataFrame | None = None
    bounds: Interval | None = None
    floor: Floor | None = None
