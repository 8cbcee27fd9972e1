"""Mark stored responses batch by batch; needs no model, and goes on where it was killed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from harmon_eval.core import Answer, Instruments, Row, Sample, Task, Unscorable, UserError
from harmon_eval.files.sizes import sizes
from harmon_eval.replies.thoughts import answered
from harmon_eval.running import stopping
from harmon_eval.running.asking import SAMPLE_FAILURES, Stored, batches, stored_answers
from harmon_eval.running.collecting import RAW, frame, marked
from harmon_eval.running.engine import Engine, Lost, Work, culprits_alone
from harmon_eval.running.progress import Progress
from harmon_eval.running.rounds import Rounds
from harmon_eval.store.index import Numbers
from harmon_eval.store.judge_log import JUDGE_LOG, Entry, JudgeLog
from harmon_eval.store.task_folder import TaskFolder
from harmon_eval.suites import Suite

RESERVED = {"id", "group", "stratum", "response"}
MARK_BATCH = 32
FLUSH_SECONDS = 1.0
MARK_COLUMNS = ("correct", "score")


class Marked(NamedTuple):
    """Rows of a batch, and new replies of a judge that does not keep them itself."""

    rows: Sequence[Row]
    replies: Sequence[tuple[int, Entry]] = ()


def mark_key(task: Task, instruments: Instruments) -> dict[str, Any]:
    """What marks depend on besides the response: other versions or instruments mark again.

    An instrument that learned from the responses of a run says from which (``learned_from``)."""
    identities = {name: instrument.identity for name, instrument in instruments.items()}
    key = {"version": task.version, "instruments": identities}
    learned = {n: i.learned_from for n, i in instruments.items() if hasattr(i, "learned_from")}
    return {**key, "learned_from": learned} if learned else key


def load_instruments(task: Task, suite: Suite, folder: TaskFolder | None) -> Instruments:
    """Those that keep something, as a judge its replies, keep it in the task's folder, if given.

    Raises InstrumentMissing."""
    loaded = {role: suite.instrument(role, task) for role in task.instruments}
    if folder is None:
        return loaded
    return {
        name: instrument.bound_to(folder.path) if hasattr(instrument, "bound_to") else instrument
        for name, instrument in loaded.items()
    }


def mark_missing(
    task: Task,
    marking: Work[Answer, Marked],
    engine: Engine,
    key: Mapping[str, Any],
    folder: TaskFolder,
    samples: Sequence[Sample],
    checked: Stored | None,
    progress: Progress,
    batch_size: int = MARK_BATCH,
) -> Numbers:
    """Mark every sound response that is not marked yet under ``key``.

    ``checked`` are responses known to be sound; the other stored ones are checked here. Batches
    lie at fixed places in the list of samples, as in ``ask_missing``. Returns a stamp of each sound
    response by sample id."""
    rounds = Rounds(task, samples)
    answers, _ = stored_answers(folder, folder.recorded(), samples, checked, rounds)
    stamps = answers.sound
    done = marked(folder, key, stamps)
    if done:
        progress.say(f"reused {len(done):,} of {len(samples):,} marks")

    def unmarked() -> Iterator[list[Answer]]:
        planning = whole_groups if task.whole_groups else batches
        for planned in planning(samples, batch_size):
            left = [s for s in planned if s.id in answers and s.id not in done]
            if task.whole_groups and left:  # what one lacks, all of its group are marked again for
                again = {s.group for s in left}
                left = [s for s in planned if s.id in answers and s.group in again]
            if batch := [found for s in left if (found := answers.answer(s)) is not None]:
                yield batch

    judged = JudgeLog(folder.path / JUDGE_LOG) if engine.remote else JudgeLog()
    waiting: list[tuple[Sample, Row]] = []  # one table a flush: making one costs more than a row
    part, flushed = 0, time.monotonic()
    left_to_mark = len(answers) - len(done)
    with progress.bar("marking", left_to_mark) as advance, stopping.finishing_batches():
        for batch, given in culprits_alone(engine, marking, unmarked()):
            if isinstance(given, Lost):
                given = Marked([{"unscored": given.reason}])
            judged.keep(given.replies)
            waiting += [(a.sample, row) for a, row in zip(batch, given.rows, strict=True)]
            if time.monotonic() - flushed > FLUSH_SECONDS:
                folder.add_marks(key, f"{part:06d}", frame(waiting, stamps))
                waiting, part, flushed = [], part + 1, time.monotonic()
            advance(len(batch))
        if waiting:
            folder.add_marks(key, "last", frame(waiting, stamps))
    return stamps


def whole_groups(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Batches of at least ``size`` samples, each with all of its groups."""
    start = 0
    for place in range(1, len(samples) + 1):
        ends = place == len(samples) or samples[place].group != samples[place - 1].group
        if ends and (place - start >= size or place == len(samples)):
            yield samples[start:place]
            start = place


def mark_batch(task: Task, instruments: Instruments, answers: Sequence[Answer]) -> Sequence[Row]:
    """Rows in the order of the answers; one that cannot be marked does not spoil the others.

    The task sees a reply without the thought before its answer; the whole stays in the row. Rows of
    images made from others say both sizes (``files.sizes``)."""
    rows: dict[int, Row] = {}
    read: dict[int, Answer] = {}
    for place, answer in enumerate(answers):
        try:
            read[place] = _read(answer)
        except Unscorable as error:
            rows[place] = {"unscored": str(error), RAW: answer.response}
    for place, row in zip(read, _mark(task, instruments, list(read.values())), strict=True):
        whole = read[place].response is answers[place].response
        rows[place] = row if whole else {**row, RAW: answers[place].response}
    return [{**rows[place], **_sizes(answer)} for place, answer in enumerate(answers)]


def _sizes(answer: Answer) -> Row:
    """The sizes of an image and of the first one that it was made from, if it was made from any."""
    request = answer.sample.request
    if request.gives != "image" or not request.files:
        return {}
    try:
        return sizes(request.files[0], answer.image)
    except Unscorable:
        return {}


def _read(answer: Answer) -> Answer:
    """Raises Unscorable for a reply that is no answer."""
    if not isinstance(answer.response, str):
        return answer
    return replace(answer, response=answered(answer.response))


def _mark(task: Task, instruments: Instruments, answers: Sequence[Answer]) -> Sequence[Row]:
    if not answers:
        return []
    try:
        rows = task.mark(answers, instruments)
    except SAMPLE_FAILURES as error:
        if len(answers) == 1:
            return [{"unscored": str(error) or type(error).__name__}]
        return [row for answer in answers for row in _mark(task, instruments, [answer])]
    if not isinstance(rows, Sequence):
        raise UserError(f"the task's mark gave a {type(rows).__name__}: it has to give a list")
    if len(rows) != len(answers):
        raise UserError(f"the task gave {len(rows)} rows for {len(answers)} answers: fix its mark")
    if taken := RESERVED & {name for row in rows for name in row}:
        raise UserError(f"the task's rows hold {min(taken)!r}, which the runner writes: rename it")
    return [_that_is_a_mark(row) for row in rows]


def _that_is_a_mark(row: Row) -> Row:
    """The row; unscored where what stands for its mark is no number."""
    for name in MARK_COLUMNS:
        value = row.get(name)
        if isinstance(value, float | np.floating) and not np.isfinite(value):
            return {**row, name: None, "unscored": f"the mark {name!r} is {value}"}
    return row
