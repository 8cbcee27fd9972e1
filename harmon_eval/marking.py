"""Mark stored responses batch by batch; needs no model, and goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harmon_eval.asking import SAMPLE_FAILURES, batches, stored_answers
from harmon_eval.core import Answer, Instruments, Row, Sample, Suite, Task, UserError
from harmon_eval.processes import ALONE, Team
from harmon_eval.progress import Progress
from harmon_eval.store import TaskFolder

if TYPE_CHECKING:
    import pandas as pd

MARK_BATCH = 32
FLUSH_SECONDS = 1.0


def mark_key(task: Task, instruments: Instruments) -> dict[str, Any]:
    """What marks depend on besides the response: other versions or instruments mark again.

    An instrument that learned from the responses of a run says from which (``learned_from``)."""
    identities = {name: instrument.identity for name, instrument in instruments.items()}
    key = {"version": task.version, "instruments": identities}
    learned = {n: i.learned_from for n, i in instruments.items() if hasattr(i, "learned_from")}
    return {**key, "learned_from": learned} if learned else key


def load_instruments(task: Task, suite: Suite, folder: TaskFolder) -> Instruments:
    """Those that keep something, as a judge its replies, keep it in the task's folder.

    Raises InstrumentMissing."""
    loaded = {name: suite.instrument(name) for name in task.instruments}
    return {
        name: instrument.bound_to(folder.path) if hasattr(instrument, "bound_to") else instrument
        for name, instrument in loaded.items()
    }


def mark_missing(
    task: Task,
    instruments: Instruments,
    folder: TaskFolder,
    samples: Sequence[Sample],
    checked: Mapping[str, Answer],
    progress: Progress,
    team: Team = ALONE,
    batch_size: int = MARK_BATCH,
) -> dict[str, str]:
    """Mark every sound response that is not marked yet, together with the other processes.

    ``checked`` are responses known to be sound; the other stored ones are checked here. Batches
    lie at fixed places in the list of samples, as in ``ask_missing``. Returns a hash of each sound
    response by sample id."""
    key = mark_key(task, instruments)
    recorded = folder.recorded()
    answers, _ = stored_answers(folder, recorded, samples, checked)
    stamps = {sample_id: _stamp(recorded[sample_id]) for sample_id in answers}
    del recorded
    done = _marked(folder, key, stamps)
    shares = {}
    for number, planned in enumerate(batches(samples, batch_size)):
        missing = [answers[s.id] for s in planned if s.id in answers and s.id not in done]
        if missing:
            shares[f"{number:06d}"] = missing
    if done:
        progress.say(f"reused {len(done)} of {len(samples)} marks")
    names = {f"{folder.path.name}.mark.{share}": share for share in shares}
    waiting: list[pd.DataFrame] = []
    flushed = time.monotonic()
    with progress.bar("marking", sum(map(len, shares.values()))) as advance:
        for name, begun in team.shares(list(names)):
            share, batch = names[name], shares[names[name]]
            if begun:
                stored = _marked(folder, key, stamps)
                batch = [answer for answer in batch if answer.sample.id not in stored]
            if batch:
                rows = mark_batch(task, instruments, batch)
                marked = [(a.sample, row) for a, row in zip(batch, rows, strict=True)]
                waiting.append(_frame(marked, stamps))
            # Others count on a share that is done; alone, a part holds what a second brought.
            if waiting and (team.size > 1 or time.monotonic() - flushed > FLUSH_SECONDS):
                folder.add_marks(key, share, _joined(waiting))
                waiting, flushed = [], time.monotonic()
            advance(len(shares[share]))
        if waiting:
            folder.add_marks(key, "last", _joined(waiting))
    return stamps


def _marked(folder: TaskFolder, key: Mapping[str, Any], stamps: Mapping[str, str]) -> set[str]:
    """Samples with a mark of the response that is stored now."""
    rows = folder.marks(key)
    if rows is None:
        return set()
    return set(rows.loc[_sound(rows, stamps), "id"])


def _sound(rows: pd.DataFrame, stamps: Mapping[str, str]) -> pd.Series:
    return rows["unscored"].isna() & (rows["response"] == rows["id"].map(stamps))


def collect_rows(
    task: Task,
    instruments: Instruments,
    folder: TaskFolder,
    samples: Sequence[Sample],
    stamps: Mapping[str, str],
) -> pd.DataFrame:
    """Rows of all samples in order, from what was marked by any process, stored as one file.

    Those without a mark carry the reason in ``unscored``. ``stamps``: from ``mark_missing``."""
    key = mark_key(task, instruments)
    recorded = folder.recorded()
    marked = folder.marks(key)
    parts = []
    if marked is not None:
        current = marked[marked["response"] == marked["id"].map(stamps)]
        # A row without a mark gives way to one that has it.
        current = current.sort_values("unscored", na_position="last", kind="stable")
        parts.append(current.drop_duplicates("id", keep="last"))
    done = set(parts[0]["id"]) if parts else set()
    reasons = [
        (sample, {"unscored": _reason(recorded.get(sample.id))})
        for sample in samples
        if sample.id not in done
    ]
    if reasons:
        parts.append(_frame(reasons, {}))
    rows = _joined(parts).set_index("id", drop=False)
    frame = rows.loc[[sample.id for sample in samples]].reset_index(drop=True)
    # What files of no reasons, of some or of reasons only make of the column is no matter.
    missing = frame["unscored"].astype(object)
    frame = frame.assign(unscored=missing.where(missing.notna(), None))
    folder.finish_marks(key, frame)
    return frame


def _stamp(entry: Mapping[str, Any]) -> str:
    """Of what was answered, whoever asked how often and wherever it lies."""
    content = {name: value for name, value in entry.items() if name not in ("attempt", "at")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _reason(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "no response"
    return str(entry["error"]) if "error" in entry else "the stored response is damaged or lost"


def _frame(marked: Sequence[tuple[Sample, Row]], stamps: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {
            "id": sample.id,
            "group": sample.group,
            "stratum": sample.stratum,
            "response": stamps.get(sample.id, ""),
            "unscored": None,
            **row,
        }
        for sample, row in marked
    ]
    return pd.DataFrame(rows).astype({"unscored": object})


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def mark_batch(task: Task, instruments: Instruments, answers: Sequence[Answer]) -> Sequence[Row]:
    """Rows in the order of the answers; one that cannot be marked does not spoil the others."""
    try:
        rows = task.mark(answers, instruments)
    except SAMPLE_FAILURES as error:
        if len(answers) == 1:
            return [{"unscored": str(error) or type(error).__name__}]
        return [row for answer in answers for row in mark_batch(task, instruments, [answer])]
    if len(rows) != len(answers):
        raise UserError(f"the task gave {len(rows)} rows for {len(answers)} answers: mend its mark")
    return rows
