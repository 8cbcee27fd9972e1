"""GenEval by other thresholds, ``geneval:threshold=0.4+counting=0.95``, and of rewritten prompts.

A variant is marked again from the detections that the published task has stored with its marks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from harmon_eval.core import Task, UserError
from harmon_eval.settings import did_you_mean
from harmon_eval.tasks.geneval.layout import read_rewritten
from harmon_eval.tasks.geneval.marks import check_stored, verdicts
from harmon_eval.tasks.geneval.rules import PUBLISHED, Protocol

FIELDS = {"threshold": "threshold", "counting": "counting_threshold"}


def variant(task: Task, argument: str) -> Task:
    """``task``, which follows the published thresholds, by those of ``argument``.

    Raises UserError for what is no threshold."""
    if argument == task.rewritten != "":
        return _rewritten(task)
    rules = protocol(argument)
    if rules == PUBLISHED:
        return task
    about = replace(
        task.about,
        version=f"{task.version}, threshold {rules.threshold}, counting {rules.counting_threshold}",
        differs=f"Objects count above a detection score of {rules.threshold} "
        f"({rules.counting_threshold} where a number is asked for) instead of the published "
        f"{PUBLISHED.threshold} and {PUBLISHED.counting_threshold}. {task.about.differs}",
    )
    mark: Any = task.mark  # GenEval's, which takes the thresholds
    return replace(
        task,
        mark=partial(mark, protocol=rules),
        about=about,
        from_marks=partial(verdicts, protocol=rules),
    )


def _rewritten(task: Task) -> Task:
    about = replace(
        task.about,
        version=f"{task.version}, rewritten prompts",
        differs="The images were drawn from other prompts than the published ones, and are marked "
        f"by what the published ones of the same number ask for. {task.about.differs}",
    )
    return replace(task, about=about, layout=read_rewritten, rewritten="", images_only=True)


def protocol(argument: str) -> Protocol:
    """The published one but for the scores of ``threshold=SCORE+counting=SCORE``.

    Raises UserError for another name, and for what is no score between 0 and 1 or lies below what
    is stored."""
    given: dict[str, float] = {}
    for part in filter(None, argument.split("+")):
        name, _, text = part.partition("=")
        if name not in FIELDS:
            raise UserError(f"unknown GenEval threshold {name!r}: {did_you_mean(name, FIELDS)}")
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
