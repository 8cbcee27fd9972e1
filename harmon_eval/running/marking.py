"""Mark stored responses batch by batch; needs no model, and goes on where it was killed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harmon_eval.core import Answer, Instruments, Row, Sample, Task, Unscorable, UserError
from harmon_eval.files.sizes import sizes
from harmon_eval.metrics.floors import about
from harmon_eval.replies.thoughts import answered
from harmon_eval.running import stopping
from harmon_eval.running.asking import SAMPLE_FAILURES, Stored, batches, stored_answers
from harmon_eval.running.engine import Engine, Lost, Work, culprits_alone
from harmon_eval.running.progress import Progress
from harmon_eval.running.rounds import Rounds
from harmon_eval.store.index import Numbers
from harmon_eval.store.judge_log import JUDGE_LOG, Entry, JudgeLog
from harmon_eval.store.redact import redacted
from harmon_eval.store.task_folder import TaskFolder
from harmon_eval.suites import Suite

if TYPE_CHECKING:
    import pandas as pd

RESERVED = {"id", "group", "stratum", "response"}
MARK_BATCH = 32
FLUSH_SECONDS = 1.0
MARK_COLUMNS = ("correct", "score")
RAW = "raw_reply"  # the column with what was said, where that is not what the task has read


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
                folder.add_marks(key, f"{part:06d}", _frame(waiting, stamps))
                waiting, part, flushed = [], part + 1, time.monotonic()
            advance(len(batch))
        if waiting:
            folder.add_marks(key, "last", _frame(waiting, stamps))
    return stamps


def whole_groups(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Batches of at least ``size`` samples, each with all of its groups."""
    start = 0
    for place in range(1, len(samples) + 1):
        ends = place == len(samples) or samples[place].group != samples[place - 1].group
        if ends and (place - start >= size or place == len(samples)):
            yield samples[start:place]
            start = place


def marked(folder: TaskFolder, key: Mapping[str, Any], stamps: Numbers) -> Numbers:
    """Samples with a mark of the response that is stored now."""
    rows = folder.marks(key, ["id", "unscored", "response"])
    if rows is None:
        return Numbers()
    sound = rows["unscored"].isna() & _current(rows, stamps)
    return Numbers((name, 1) for name in rows.loc[sound, "id"])


def _current(rows: pd.DataFrame, stamps: Numbers) -> np.ndarray:
    """Whether each row (rows,) marks the response that is stored now."""
    pairs = zip(rows["id"], rows["response"], strict=True)
    same = (bool(said) and said == _stamp_of(name, stamps) for name, said in pairs)
    return np.fromiter(same, bool, len(rows))


def _stamp_of(sample_id: str, stamps: Numbers) -> str:
    found = stamps.get(sample_id)
    return "" if found is None else f"{found:016x}"


def collect_rows(
    key: Mapping[str, Any], folder: TaskFolder, samples: Sequence[Sample], stamps: Numbers
) -> pd.DataFrame:
    """Rows of all samples in order, from all that was marked, stored as one file.

    Those without a mark carry the reason in ``unscored``. ``stamps``: from ``mark_missing``."""
    marked = folder.marks(key)
    parts = []
    done = Numbers()
    if marked is not None:
        current = _current(marked, stamps)
        marked = marked if current.all() else marked[current]
        done = Numbers((name, 1) for name in marked["id"])
        if len(done) < len(marked):  # a row without a mark gives way to one that has it
            marked = marked.sort_values("unscored", na_position="last", kind="stable")
            marked = marked.drop_duplicates("id", keep="last")
        parts.append(marked)
        del marked
    reasons = []
    if len(done) < len(samples):
        recorded = folder.recorded()
        reasons = [
            (sample, {"unscored": _reason(sample, recorded), **_said(sample, recorded)})
            for sample in samples
            if sample.id not in done
        ]
    if reasons:
        parts.append(_frame(reasons, Numbers()))
    rows = _joined(parts)
    del parts, done
    place = Numbers((sample.id, number) for number, sample in enumerate(samples))
    places = np.fromiter((place.get(name) for name in rows["id"]), np.int64, len(rows))
    if (np.diff(places) < 0).any():
        rows = rows.take(np.argsort(places, kind="stable"))
    # What files of no reasons, of some or of reasons only make of the column is no matter.
    missing = rows["unscored"].astype(object)
    rows = rows.reset_index(drop=True).assign(unscored=missing.where(missing.notna(), None).array)
    folder.finish_marks(key, rows)
    return rows


def _reason(sample: Sample, recorded: Mapping[str, Mapping[str, Any]]) -> str:
    entry = recorded.get(sample.id)
    if entry is not None:
        return str(entry["error"]) if "error" in entry else "the stored response is damaged or lost"
    failed = [name for name in sample.after if "error" in recorded.get(name, {"error": ""})]
    return f"no response to {failed[0]}, which it comes after" if failed else "no response"


def _said(sample: Sample, recorded: Mapping[str, Mapping[str, Any]]) -> Row:
    """The reply of a sample that has none that answers, where there is one."""
    said = recorded.get(sample.id, {}).get("said")
    return {RAW: said} if isinstance(said, str) else {}


def _frame(marked: Sequence[tuple[Sample, Row]], stamps: Numbers) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            **row,
            **about(sample),
            "response": _stamp_of(sample.id, stamps),
            "unscored": None,
            # A reason may be an error's text, and that may hold a key.
            **({"unscored": redacted(row["unscored"])} if row.get("unscored") else {}),
        }
        for sample, row in marked
    ]
    return pd.DataFrame(rows).astype({"unscored": object})


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


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
