"""Who marks what waits in a line: instruments of this process, opened once, or workers of Ray."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harmon_eval.core import Answer, Row
from harmon_eval.instruments.judging import Judge
from harmon_eval.running.engine import Engine, Lost
from harmon_eval.running.jobs import Job
from harmon_eval.running.marking import mark_batch, mark_key
from harmon_eval.running.work import MarkingByName
from harmon_eval.serving.ledger import Ledger
from harmon_eval.serving.line import Line, Mark
from harmon_eval.serving.rewards import Served
from harmon_eval.suites import Suite

JUDGED = "judge"  # the folder in the server's own where replies of judges are kept


@dataclass(frozen=True)
class Lines:
    """``keys``: what the marks of each line depend on, by the name of its task."""

    lines: list[Line]
    keys: dict[str, Mapping[str, Any]]


def lines(
    chosen: Sequence[Served],
    suite: Suite,
    engine: Engine,
    home: Path,
    batch_size: int,
    ledger: Ledger | None = None,
    workers: int = 1,
) -> Lines:
    """A line for each task that marks: rewards that read the same marks share it.

    What judges reply is kept in ``home``. Raises UserError where an instrument is not to be had."""
    by_base: dict[str, list[Served]] = {}
    for one in chosen:
        by_base.setdefault(one.base, []).append(one)
    here = _Here(suite, home)
    crew = ThreadPoolExecutor(1, "workers")  # one engine does one thing at a time
    made = Lines([], {})
    for base, own in by_base.items():
        keep = partial(ledger.keep, base) if ledger is not None else None
        far = _by_workers(own[0], suite, engine, workers) if engine.remote else None
        mark, made.keys[base] = far or here.marker(own[0])
        executor = crew if far else ThreadPoolExecutor(1, base)
        size = batch_size * (workers if far else 1)
        made.lines.append(Line(base, own, mark, executor, size, keep))
    return made


class _Here:
    """Instruments of this process. One that is no judge is entered by one thread at a time."""

    def __init__(self, suite: Suite, home: Path) -> None:
        self.suite, self.home = suite, home
        self._bound: dict[int, Any] = {}
        self._locks: dict[int, threading.Lock] = {}

    def marker(self, reward: Served) -> tuple[Mark, Mapping[str, Any]]:
        task = reward.marking
        loaded = {
            role: self._opened(self.suite.instrument(role, task)) for role in task.instruments
        }
        alone = {id(one) for one in loaded.values() if not isinstance(one, Judge)}
        locks = [self._locks.setdefault(key, threading.Lock()) for key in sorted(alone)]

        def mark(answers: Sequence[Answer]) -> Sequence[Row]:
            with ExitStack() as held:
                for lock in locks:
                    held.enter_context(lock)
                return mark_batch(task, loaded, answers)

        return mark, mark_key(task, loaded)

    def _opened(self, instrument: Any) -> Any:
        """One that keeps something keeps it in one place, so that a budget is one for all."""
        if not hasattr(instrument, "bound_to"):
            return instrument
        key = id(instrument)
        if key not in self._bound:
            folder = self.home / JUDGED
            folder.mkdir(parents=True, exist_ok=True)
            self._bound[key] = instrument.bound_to(folder)
        return self._bound[key]


def _by_workers(
    reward: Served, suite: Suite, engine: Engine, workers: int
) -> tuple[Mark, Mapping[str, Any]] | None:
    """Marking by the engine's workers; None for instruments that only work in this process.

    A batch is shared out among them and waited for as a whole. Raises UserError."""
    job = Job(reward.base, reward.marking, (), (), None, nameless=reward.nameless)
    work = MarkingByName.of(job, suite)
    facts = engine.facts(work)
    if facts.at_writer:
        return None

    def mark(answers: Sequence[Answer]) -> Sequence[Row]:
        each = -(-len(answers) // workers)
        parts = [answers[i : i + each] for i in range(0, len(answers), each)]
        rows: dict[str, Row] = {}
        for part, given in engine.answers(work, parts):
            own = (
                [{"unscored": given.reason}] * len(part) if isinstance(given, Lost) else given.rows
            )
            rows |= {answer.sample.id: row for answer, row in zip(part, own, strict=True)}
        return [rows[answer.sample.id] for answer in answers]

    return mark, facts.key
