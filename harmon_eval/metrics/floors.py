"""The floor of a score: what a model gets that looks at nothing and always gives the same reply.

Marked and added up by the task itself, on the samples of the run, so that it is the protocol's own
figure whatever the data: what a score must exceed to mean anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harmon_eval.core import Answer, Ask, Sample, Task

TRIED = 2  # of the most frequent right replies: yes and no are right equally often in POPE


@dataclass(frozen=True)
class Floor:
    reply: str
    score: float


def constant_reply(task: Task, samples: Sequence[Sample], key: str) -> Floor | None:
    """The best that one constant reply gets in metric ``key``, among the most frequent right ones.

    None for a task that asks for more than replies, or does not name right ones (see
    ``Task.extremes``)."""
    import pandas as pd

    if task.extremes is None or not all(isinstance(s.request, Ask) for s in samples):
        return None
    right = Counter(task.extremes(sample)[1] for sample in samples)
    found = []
    for reply, _ in right.most_common(TRIED):
        marks = task.mark([Answer(sample, reply) for sample in samples], {})
        rows = [
            {"id": s.id, "group": s.group, "stratum": s.stratum, **mark}
            for s, mark in zip(samples, marks, strict=True)
        ]
        metrics = task.summarize(pd.DataFrame(rows))
        if key in metrics:
            found.append(Floor(reply, float(metrics[key])))
    best = max if task.higher_is_better else min
    return best(found, key=lambda floor: floor.score, default=None)
