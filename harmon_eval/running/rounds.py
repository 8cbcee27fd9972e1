"""Samples that come after others: in which round each is asked, and what.

The first round holds those that come after none, the next those whose earlier samples are all in
rounds before. A request is made from the earlier answers when its turn comes, so nothing of it is
stored but a stamp of the answers it was made from: other answers, and it is asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harmon_eval.core import Answer, Sample, Task
from harmon_eval.replies.thoughts import answered
from harmon_eval.running.jobs import with_seed

Entry = Mapping[str, Any]


class Rounds:
    """The rounds of a task's samples; a task without ``follow`` has one."""

    def __init__(self, task: Task, samples: Sequence[Sample]) -> None:
        self._follow = task.follow
        self._earlier: dict[str, Sample] = {}
        if task.follow is None:
            self.rounds: list[Sequence[Sample]] = [samples]
            return
        depth: dict[str, int] = {}
        parts: list[list[Sample]] = []
        for sample in samples:
            place = max((depth[earlier] + 1 for earlier in sample.after), default=0)
            depth[sample.id] = place
            if place == len(parts):
                parts.append([])
            parts[place].append(sample)
            self._earlier[sample.id] = sample
        self.rounds = list(parts)

    def asked(self, sample: Sample, answer: Callable[[Sample], Answer | None]) -> Sample | None:
        """The sample with the request that it is asked; None where an earlier one has no answer.

        ``answer`` gives the stored answer of a sample. Raises what ``Task.follow`` does."""
        if not sample.after or self._follow is None:
            return sample
        answers = []
        for earlier in sample.after:
            found = answer(self._earlier[earlier])
            if found is None:
                return None
            if isinstance(found.response, str):
                found = replace(found, response=answered(found.response))
            answers.append(found)
        request = self._follow(sample, answers)
        return replace(sample, request=with_seed(request, sample.request.seed))


def stamp_of_earlier(sample: Sample, stamps: Callable[[str], int | None]) -> str | None:
    """16 hexadecimal digits for the answers that a sample comes after; None where one is missing,
    empty for a sample that comes after none."""
    if not sample.after:
        return ""
    found = [stamps(earlier) for earlier in sample.after]
    if None in found:
        return None
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]
