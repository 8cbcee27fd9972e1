"""Samples, the models that answer them, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core.errors import UserError
from harmon_eval.core.requests import Ask, Draw, Edit, Embed, Request, Score

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from harmon_eval.core.tasks import Task

NOT_GIVEN = "not given"  # the fingerprint of a model that does not identify its weights


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

    ``flaw`` says why it is not an answer, or is empty (``replies.thoughts``). ``cut``: it reached
    the token limit. If it has no flaw then, it opens with an answer, and only that is read."""

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
        return type(self).offers(verb)

    @classmethod
    def offers(cls, verb: str) -> bool:
        """Whether models of this class answer requests of this verb, as far as the class tells."""
        own = getattr(cls, verb, None)
        return own is not None and own is not getattr(Responder, verb, None)

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None:
        """Called with all samples of the task ``name`` before they are asked.

        Raises UserError if the model has nothing to answer them with."""
        if task.images_only:
            raise UserError(
                f"{name} marks images that were made elsewhere: give --model folder:IMAGES"
            )

    def reach(self) -> None:
        """Called before the first request. Raises UserError if what answers is not there, such as a
        server."""

    def holds(self, task: Task) -> Sequence[str]:
        """Names of the finished images that it has for a task that marks ``any_images``, in order;
        none for a model that makes its images when it is asked."""
        return ()

    def reads(self, request: Request) -> Sequence[Path]:
        """The image files opened to answer ``request``, to find how many requests fit in memory."""
        return request.files

    def remarks(self) -> Sequence[str]:
        """What there is to say of the requests since the last call, such as words that the model
        does not know. The run says each remark once."""
        return ()

    def draw(self, requests: Sequence[Draw]) -> Sequence[Image.Image | Exception]:
        raise UserError(f"{self.name} cannot draw images")

    def edit(self, requests: Sequence[Edit]) -> Sequence[Image.Image | Exception]:
        raise UserError(f"{self.name} cannot edit images")

    def ask(self, requests: Sequence[Ask]) -> Sequence[str | Exception]:
        raise UserError(f"{self.name} cannot answer questions")

    def score(self, requests: Sequence[Score]) -> Sequence[str | Exception]:
        raise UserError(f"{self.name} gives no probabilities")

    def embed(self, requests: Sequence[Embed]) -> Sequence[np.ndarray | Exception]:
        raise UserError(f"{self.name} cannot embed images")


@dataclass(frozen=True, slots=True)
class Drawn:
    """An image made elsewhere, in a folder with a published layout (``Task.layout``).

    ``sample`` is the id of the sample that it answers, if the layout tells; ``prompt`` is the text
    that it was generated from. The image is matched by id if only the id is given, or if the prompt
    equals the sample's. Otherwise the n-th image of a prompt answers the n-th sample with it.
    ``grid``: the file holds four images in a 2 x 2 grid, which answer the sample and the following
    ones with its prompt. ``source`` is the SHA-256 of the image that it was edited from (of several
    joined by "+"); then ``prompt`` is the instruction. ``rewritten`` is the rewritten prompt that
    it was generated from; it is not used for matching, but then the sample's target must hold
    ``target``."""

    file: Path
    prompt: str = ""
    sample: str = ""
    grid: bool = False
    rewritten: str = ""
    target: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
