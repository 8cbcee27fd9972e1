"""The baseline floor of a score: what a model gets that looks at nothing and repeats one reply.

Marked and added up by the task itself, on the samples of the run: it is the protocol's own figure
whatever the data, and what a score must exceed to mean anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harmon_eval.core import Answer, Floor, Row, Sample, Task

TRIED = 2  # of the most frequent right replies: yes and no are right equally often in POPE


def constant_reply(task: Task, samples: Sequence[Sample], key: str) -> Floor | None:
    """The best that one constant reply gets in metric ``key``, among the most frequent right ones.

    None for a task that asks for more than replies, or does not name right ones (see
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


def if_marked(task: Task, sample: Sample, right: bool) -> Row:
    """The row of a sample if it were wrong, or right, for bounds. Needs ``Task.bounds``."""
    assert task.bounds is not None
    assumed = task.bounds(sample)[right]
    if isinstance(assumed, str):
        assumed = task.mark([Answer(sample, assumed)], {})[0]
    return about(sample) | assumed


def about(sample: Sample) -> Row:
    """The columns that every row has."""
    return {"id": sample.id, "group": sample.group, "stratum": sample.stratum}
