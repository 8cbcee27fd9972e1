"""What workers do: answer samples with a model, mark answers with instruments.

``Asking`` and ``Marking`` hold the model or the suite of this process; ``AskingByName`` and
``MarkingByName`` are what travels to workers elsewhere, which open the same by the same names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import Answer, Instruments, Responder, Sample, Task, Unscorable, UserError
from harmon_eval.files.images import portions
from harmon_eval.instruments.judging import Judge
from harmon_eval.running import stopping
from harmon_eval.running.asking import Answered, respond
from harmon_eval.running.engine import Engine, Lost
from harmon_eval.running.jobs import Job
from harmon_eval.running.marking import Marked, load_instruments, mark_batch, mark_key
from harmon_eval.running.provenance import accelerator
from harmon_eval.store.judge_log import JUDGE_LOG, Entry, entries
from harmon_eval.store.pngs import packed
from harmon_eval.store.task_folder import TaskFolder
from harmon_eval.suites import Suite


@dataclass(frozen=True)
class Model:
    """What is known of a model, wherever it is. ``about`` and ``accelerator`` may differ between
    its workers."""

    name: str
    fingerprint: str
    settings: Mapping[str, Any]
    verbs: frozenset[str]
    stays: bool  # must be told what it will be asked, so it answers where that is known
    about: Mapping[str, Any] = field(compare=False)
    accelerator: str | None = field(compare=False)

    @classmethod
    def of(cls, responder: Responder) -> Model:
        names = [name for name in dir(type(responder)) if not name.startswith("_")]
        return cls(
            responder.name,
            responder.fingerprint,
            dict(responder.settings),
            frozenset(name for name in names if responder.can(name)),
            type(responder).expect is not Responder.expect,
            dict(responder.about),
            accelerator(),
        )

    def can(self, verb: str) -> bool:
        return verb in self.verbs

    def expect(self, name: str, task: Task, samples: Sequence[Sample]) -> None:
        """As any model that need not be told. Raises UserError."""
        if not self.stays:
            Responder().expect(name, task, samples)


# -- asking ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Asking:
    """With a model of this process."""

    responder: Responder

    def open(self) -> Asker:
        return Asker(self.responder)


@dataclass(frozen=True)
class AskingByName:
    """With a model that the worker opens; images come back as the bytes of PNG files."""

    name: str
    given: tuple[tuple[str, Any], ...]

    def open(self) -> Asker:
        heard = Heard()
        logging.getLogger("harmon_eval").addHandler(heard)
        return Asker(registry.model(self.name, dict(self.given)), heard)


class Heard(logging.Handler):
    """What modules warn of in a worker elsewhere, where nobody would read it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Asker:
    """``heard``: in a worker elsewhere, what was warned of there."""

    def __init__(self, responder: Responder, heard: Heard | None = None) -> None:
        self.responder, self.elsewhere = responder, heard is not None
        self.heard = heard or Heard()
        self.facts = Model.of(responder)

    def __call__(self, batch: Sequence[Sample]) -> Answered:
        said: list[str] = []
        start = time.monotonic()
        responses: dict[str, Any] = {}
        for some in portions(batch, lambda sample: self.responder.reads(sample.request)):
            part = respond(self.responder, some, said.append)
            # Large pictures do not pile up until the whole batch is stored.
            if self.elsewhere or len(some) < len(batch):
                part = {name: _packed(response) for name, response in part.items()}
            responses |= part
        seconds = time.monotonic() - start
        warned, self.heard.lines = self.heard.lines, []
        return Answered(responses, seconds, said, [*warned, *self.responder.remarks()])


def _packed(response: Any) -> Any:
    """What can travel: of an exception its text, as it is stored."""
    if isinstance(response, Exception) and not isinstance(response, Unscorable):
        return Unscorable(f"{type(response).__name__}: {response}")
    try:
        return packed(response)
    except Unscorable as error:  # values of no known range
        return Unscorable(f"the image {error}")


# -- marking -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """``key``: what marks depend on besides the response. ``at_writer``: an instrument can only
    work where the run folder is written."""

    key: Mapping[str, Any]
    at_writer: bool = False


@dataclass(frozen=True, eq=False)
class Marking:
    """With instruments of this process, which may keep something in the task's folder. Those that
    can give work to others (``each``) give it to the workers of ``engine``."""

    task: Task
    suite: Suite
    folder: TaskFolder
    engine: Engine

    def open(self) -> Marker:
        instruments = load_instruments(self.task, self.suite, self.folder)
        for instrument in instruments.values():
            if self.engine.remote and hasattr(instrument, "each"):
                instrument.each = partial(each, self.engine)
        return Marker(self.task, instruments)


@dataclass(frozen=True)
class MarkingByName:
    """With instruments that the worker opens. ``task`` is one that has no name to find it by;
    ``replies`` are those of a judge that are kept already."""

    name: str
    task: Task | None
    suite: str
    data: Path | None
    instruments: tuple[tuple[str, str], ...]
    replies: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, job: Job, suite: Suite, folder: TaskFolder | None = None) -> MarkingByName:
        task = job.task if job.nameless else None
        replies = tuple(entries(folder.path / JUDGE_LOG)) if folder else ()
        chosen = tuple(suite.chosen.items())
        return cls(job.name, task, suite.name, suite.data_folder, chosen, replies)

    def open(self) -> Marker:
        task = self.task or registry.task(self.name)
        suite = _suite(self.suite, self.data, self.instruments)
        instruments = load_instruments(task, suite, None)
        if any(getattr(i, "at_writer", hasattr(i, "bound_to")) for i in instruments.values()):
            return Marker(task, instruments, Facts({}, at_writer=True))
        judges = {
            role: instrument.elsewhere(self.replies)
            for role, instrument in instruments.items()
            if isinstance(instrument, Judge)
        }
        return Marker(task, {**instruments, **judges})


@lru_cache(maxsize=1)
def _suite(name: str, data: Path | None, instruments: tuple[tuple[str, str], ...]) -> Suite:
    """One for all tasks of a run, so that they share what it has opened."""
    return suites.load(name, data, dict(instruments))


class Marker:
    def __init__(self, task: Task, instruments: Instruments, facts: Facts | None = None) -> None:
        self.task, self.instruments = task, instruments
        self.facts = facts or Facts(mark_key(task, instruments))

    def __call__(self, batch: Sequence[Answer]) -> Marked:
        rows = mark_batch(self.task, self.instruments, batch)
        judges = [i for i in self.instruments.values() if isinstance(i, Judge)]
        return Marked(rows, [reply for judge in judges for reply in judge.log.taken()])


# -- work that an instrument gives away --------------------------------------------------------


@dataclass(frozen=True)
class Calling:
    """Calls of one function, which is found by its name."""

    function: Callable[[Any], Any]

    def open(self) -> Caller:
        return Caller(self.function)


class Caller:
    facts = None

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, batch: Sequence[tuple[int, Any]]) -> list[Any]:
        return [self.function(item) for _, item in batch]


def each(engine: Engine, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """As ``map``, by the engine's workers. Raises UserError where one fails, and Stopped."""
    found: dict[int, Any] = {}
    numbered = ([pair] for pair in enumerate(items))
    for batch, given in engine.answers(Calling(function), numbered):
        if isinstance(given, Lost):
            raise UserError(f"a worker could not do its part: {given.reason}")
        found[batch[0][0]] = given[0]
    stopping.check()
    return [found[number] for number in sorted(found)]
