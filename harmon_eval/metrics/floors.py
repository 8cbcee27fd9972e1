"""The floor of a score: what a model gets that ignores its input and always gives the same reply.

The task itself marks these replies on the samples of the run, so the floor follows the same rules
and data as the score. A score means something only if it exceeds its floor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harmon_eval.core import Answer, Floor, Row, Sample, Task

if TYPE_CHECKING:
    import pandas as pd

# How many of the most frequent right replies to try. In POPE, yes and no are right equally often.
TRIED = 2
# Columns with the ends of a mark that is known in part only, such as a probability of which an
# endpoint lists the likeliest tokens: ``least:score`` and ``most:score`` beside ``score``.
LEAST, MOST = "least:", "most:"


def constant_reply(task: Task, samples: Sequence[Sample], key: str) -> Floor | None:
    """The best score in metric ``key`` of a constant reply, among the most frequent right replies.

    None if the task asks for anything but text, or does not define right replies (see
    ``Task.bounds``)."""
    import pandas as pd

    if task.bounds is None or not all(s.request.gives == "text" for s in samples):
        return None
    replies = (task.bounds(sample)[1] for sample in samples)
    right = Counter(reply for reply in replies if isinstance(reply, str))
    found = []
    for reply, _ in right.most_common(TRIED):
        marks = task.mark([Answer(sample, reply) for sample in samples], {})
        rows = [about(s) | mark for s, mark in zip(samples, marks, strict=True)]
        metrics = task.summarize(pd.DataFrame(rows))
        if key in metrics:
            found.append(Floor(reply, float(metrics[key])))
    highest = max if task.higher_is_better else min
    return highest(found, key=lambda floor: floor.score, default=None)


def of_trivial_models(task: Task, rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What each model of ``Task.floors`` gets in each metric: metric -> model -> value.

    It counts the rows that say what the model gets."""
    found: dict[str, dict[str, float]] = {}
    for name in task.floors:
        own = {c: str(c).removeprefix(f"{name}:") for c in rows if str(c).startswith(f"{name}:")}
        known = rows.dropna(subset=list(own), how="all")
        if not own or known.empty:
            continue
        marks = known.drop(columns=list(own.values()), errors="ignore").rename(columns=own)
        for metric, value in task.summarize(marks.reset_index(drop=True)).items():
            if task.metric(metric).higher_is_better is not None:
                found.setdefault(metric, {})[name] = float(value)
    return found


def at_end(rows: pd.DataFrame, end: str) -> pd.DataFrame:
    """The rows with each mark at one of its ends (``LEAST``, ``MOST``), where they have them."""
    known = rows.copy()
    for column in [str(c) for c in rows if str(c).startswith(end)]:
        name = column.removeprefix(end)
        known[name] = rows[column].fillna(rows[name])
    return known


def if_marked(task: Task, sample: Sample, right: bool) -> Row:
    """The row that a sample would get if it were right or wrong. Needs ``Task.bounds``."""
    assert task.bounds is not None
    assumed = task.bounds(sample)[right]
    if isinstance(assumed, str):
        assumed = task.mark([Answer(sample, assumed)], {})[0]
    return about(sample) | assumed


def about(sample: Sample) -> Row:
    """The columns that every row has."""
    return {"id": sample.id, "group": sample.group, "stratum": sample.stratum}
