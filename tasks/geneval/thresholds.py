"""GenEval's variants: other thresholds (``threshold=0.4+counting=0.95``), prompts, rewards.

A variant is marked from the detections that the published task stored with its marks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from harmon_eval.core import Task, UserError
from harmon_eval.settings import did_you_mean
from harmon_eval.tasks.geneval import graded
from harmon_eval.tasks.geneval.layout import read_rewritten
from harmon_eval.tasks.geneval.marks import check_stored, verdicts
from harmon_eval.tasks.geneval.rules import PUBLISHED, Protocol

FIELDS = {"threshold": "threshold", "counting": "counting_threshold"}


def variant(task: Task, argument: str) -> Task:
    """``task`` with the thresholds in ``argument`` instead of the published ones.

    Raises UserError if ``argument`` does not hold valid thresholds."""
    if argument == task.rewritten != "":
        return _rewritten(task)
    if argument in graded.VARIANTS:
        return graded.VARIANTS[argument](task)
    rules = protocol(argument)
    if rules == PUBLISHED:
        return task
    about = replace(
        task.about,
        version=f"{task.version}, threshold {rules.threshold}, counting {rules.counting_threshold}",
        differs=f"Objects count above a detection score of {rules.threshold} "
        f"({rules.counting_threshold} if the prompt asks for a number) instead of the published "
        f"{PUBLISHED.threshold} and {PUBLISHED.counting_threshold}. {task.about.differs}",
    )
    mark: Any = task.mark  # GenEval's, which takes the thresholds
    return replace(
        task,
        mark=partial(mark, protocol=rules),
        about=about,
        from_marks=partial(verdicts, protocol=rules),
        reward=graded.official(rules),
    )


def _rewritten(task: Task) -> Task:
    about = replace(
        task.about,
        version=f"{task.version}, rewritten prompts",
        differs="The images were generated from other prompts than the published ones. They are "
        "marked by what the published prompts with the same numbers ask for. "
        f"{task.about.differs}",
    )
    return replace(
        task,
        about=about,
        layout=read_rewritten,
        rewritten="",
        images_only=True,
        census=None,  # each prompt could have been rewritten otherwise
    )


def protocol(argument: str) -> Protocol:
    """The published protocol with the scores from ``threshold=SCORE+counting=SCORE``.

    Raises UserError for an unknown name, for a score that is not between 0 and 1, and for a score
    below the lowest stored one."""
    given: dict[str, float] = {}
    for part in filter(None, argument.split("+")):
        name, _, text = part.partition("=")
        if name not in FIELDS:
            known = did_you_mean(name, [*FIELDS, *graded.VARIANTS])
            raise UserError(f"unknown GenEval threshold {name!r}: {known}")
        if FIELDS[name] in given:
            raise UserError(f"the GenEval threshold {name!r} is given twice")
        try:
            score = float(text)
        except ValueError:
            score = 0.0
        if not 0 < score < 1:
            raise UserError(
                f"{part}: a GenEval threshold is a score between 0 and 1, such as {name}=0.4"
            )
        given[FIELDS[name]] = score
    made = replace(
        PUBLISHED,
        threshold=given.get("threshold", PUBLISHED.threshold),
        counting_threshold=given.get("counting_threshold", PUBLISHED.counting_threshold),
    )
    check_stored(made)
    return made
