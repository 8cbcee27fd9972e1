"""What workers do: answer samples with a model, mark answers with instruments.

``Asking`` and ``Marking`` hold the model or the suite of this process; ``AskingByName`` and
``MarkingByName`` are what travels to workers elsewhere, which open the same by the same names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import Answer, Instruments, Responder, Row, Sample, Task, Unscorable
from harmon_eval.files.images import portions
from harmon_eval.running.asking import Answered, respond
from harmon_eval.running.jobs import Job
from harmon_eval.running.marking import load_instruments, mark_batch, mark_key
from harmon_eval.running.provenance import accelerator
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
        return Asker(registry.model(self.name, dict(self.given)), elsewhere=True)


class Asker:
    def __init__(self, responder: Responder, elsewhere: bool = False) -> None:
        self.responder, self.elsewhere = responder, elsewhere
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
        return Answered(responses, seconds, said)


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
    """``key``: what marks depend on besides the response. ``kept``: an instrument keeps something
    in the run folder, so that it can only work where that is written."""

    key: Mapping[str, Any]
    kept: bool = False


@dataclass(frozen=True, eq=False)
class Marking:
    """With instruments of this process, which may keep something in the task's folder."""

    task: Task
    suite: Suite
    folder: TaskFolder

    def open(self) -> Marker:
        return Marker(self.task, load_instruments(self.task, self.suite, self.folder))


@dataclass(frozen=True)
class MarkingByName:
    """With instruments that the worker opens. ``task`` is one that has no name to find it by."""

    name: str
    task: Task | None
    suite: str
    data: Path | None
    instruments: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, job: Job, suite: Suite) -> MarkingByName:
        task = job.task if job.nameless else None
        return cls(job.name, task, suite.name, suite.data_folder, tuple(suite.chosen.items()))

    def open(self) -> Marker:
        task = self.task or registry.task(self.name)
        suite = _suite(self.suite, self.data, self.instruments)
        instruments = load_instruments(task, suite, None)
        if any(hasattr(instrument, "bound_to") for instrument in instruments.values()):
            return Marker(task, instruments, Facts({}, kept=True))
        return Marker(task, instruments)


@lru_cache(maxsize=1)
def _suite(name: str, data: Path | None, instruments: tuple[tuple[str, str], ...]) -> Suite:
    """One for all tasks of a run, so that they share what it has opened."""
    return suites.load(name, data, dict(instruments))


class Marker:
    def __init__(self, task: Task, instruments: Instruments, facts: Facts | None = None) -> None:
        self.task, self.instruments = task, instruments
        self.facts = facts or Facts(mark_key(task, instruments))

    def __call__(self, batch: Sequence[Answer]) -> Sequence[Row]:
        return mark_batch(self.task, self.instruments, batch)
