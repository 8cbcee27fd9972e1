"""Mark stored responses batch by batch; needs no model, and goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harmon_eval.asking import SAMPLE_FAILURES, batches, stored_answers
from harmon_eval.core import Answer, Instruments, Row, Sample, Suite, Task, UserError
from harmon_eval.progress import Progress
from harmon_eval.store import TaskFolder

if TYPE_CHECKING:
    import pandas as pd

MARK_BATCH = 32


def mark_key(task: Task, instruments: Instruments) -> dict[str, Any]:
    """What marks depend on besides the response: other versions or instruments mark again."""
    identities = {name: instrument.identity for name, instrument in instruments.items()}
    return {"version": task.version, "instruments": identities}


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
) -> pd.DataFrame:
    """Rows of all samples in order; those without a mark carry the reason in ``unscored``.

    ``checked`` are responses known to be sound; the other stored ones are checked here."""
    recorded = folder.recorded()
    answers, _ = stored_answers(folder, recorded, samples, checked)
    stamps = {sample_id: _stamp(recorded[sample_id]) for sample_id in answers}
    parts = []
    marked = folder.marks(mark_key(task, instruments))
    if marked is not None:
        sound = marked["unscored"].isna() & (marked["response"] == marked["id"].map(stamps))
        parts.append(marked[sound])
    done = set(parts[0]["id"]) if parts else set()
    missing = [answers[s.id] for s in samples if s.id in answers and s.id not in done]
    if done:
        progress.say(f"reused {len(done)} of {len(samples)} marks")
    with progress.bar("marking", len(missing)) as advance:
        for batch in batches(missing, MARK_BATCH):
            rows = mark_batch(task, instruments, batch)
            parts.append(
                _frame([(a.sample, row) for a, row in zip(batch, rows, strict=True)], stamps)
            )
            folder.add_marks(parts[-1])
            advance(len(batch))
    unanswered = [sample for sample in samples if sample.id not in answers]
    reasons = [(s, {"unscored": _reason(recorded.get(s.id))}) for s in unanswered]
    if reasons:
        parts.append(_frame(reasons, stamps))
    frame = _in_order(parts, samples)
    folder.finish_marks(frame)
    return frame


def _stamp(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(entry), sort_keys=True).encode()).hexdigest()[:16]


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


def _in_order(parts: Sequence[pd.DataFrame], samples: Sequence[Sample]) -> pd.DataFrame:
    import pandas as pd

    rows = pd.concat(parts, ignore_index=True).set_index("id", drop=False)
    rows = rows.loc[[sample.id for sample in samples]].reset_index(drop=True)
    reasons = rows["unscored"].astype(object)
    return rows.assign(unscored=reasons.where(reasons.notna(), None))


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
