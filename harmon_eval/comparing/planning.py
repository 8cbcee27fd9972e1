"""How many groups of samples are needed to see a difference, computed before any run.

n = (z(1 - a) + z(power))^2 s^2 / d^2 (Cohen 1988, 2.5) for a one-sided test, where s^2 is the
variance of one group's difference and d the distance between the truth and the margin: the effect
minus the tolerance, or the whole margin if a candidate as good as the baseline is to be shown to be
no worse. From one pilot run, s^2 is what two runs of this checkpoint with different seeds
would show. From two pilots, it is what these two show. Without a pilot, it is the worst case for
0/1 marks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harmon_eval import registry
from harmon_eval.comparing.paired import differences
from harmon_eval.comparing.power import smallest_detectable
from harmon_eval.comparing.runs import pairs
from harmon_eval.core import Sample, UserError
from harmon_eval.running.jobs import RunSettings, prepare
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import results_by_task
from harmon_eval.suites.suite import Suite

WORST_VARIANCE = 0.5  # of the difference of two independent fair coins
NORMAL_REACH = 1.96


@dataclass(frozen=True)
class Plan:
    """``needed`` groups (prompts, or images with questions) out of ``available``, with ``each``
    samples per group. ``detectable``: the smallest distance that all available groups show."""

    task: str
    metric: str
    distance: float
    needed: int
    available: int
    each: float
    detectable: float
    basis: str


def plan(task: str, distance: float, size: int, suite: Suite, pilots: Sequence[Path] = ()) -> Plan:
    """``distance``: how far the truth lies from the margin. ``size``: over how many tasks the test
    is corrected. Raises UserError for a distance that is not above 0, or if the metric is not a
    share of marks and there is no pilot."""
    if not (math.isfinite(distance) and distance > 0):
        raise UserError(f"a distance of {distance:g} between loss and margin: must be more than 0")
    job = prepare(task, registry.task(task), suite, RunSettings())
    available = len({sample.group for sample in job.everything})
    each = len(job.everything) / available
    if pilots:
        error, groups, basis = _piloted(task, pilots)
    elif job.task.higher_is_better and not job.task.replicates:
        top = job.task.main.maximum or 1.0
        error, groups = top * math.sqrt(WORST_VARIANCE / _images(job.everything)), 1
        basis = f"worst case of right or wrong marks, scored 0 to {top:g}"
    else:
        raise UserError(f"{task}: {job.task.headline} is not a share of marks: give a --pilot RUN")
    needed = math.ceil(groups * (smallest_detectable(error, size) / distance) ** 2)
    reach = smallest_detectable(error * math.sqrt(groups / available), size)
    return Plan(task, job.task.headline, distance, needed, available, each, reach, basis)


def _images(samples: Sequence[Sample]) -> float:
    """How many independent samples a group has: each image of a prompt counts, but all questions
    about one image count as one, the worst case."""
    drawn = samples[0].request.gives == "image"
    return len(samples) / len({sample.group for sample in samples}) if drawn else 1.0


def _piloted(task: str, pilots: Sequence[Path]) -> tuple[float, int, str]:
    """Standard error of a difference of the headline, and the groups it was found on."""
    runs = [RunFolder(path) for path in pilots]
    if len(runs) > 2:
        raise UserError("--pilot takes one run or two")
    if len(runs) == 2:
        pair = next(iter(pairs(runs[0], runs[1], [task], any_settings=True)))
        if pair.reasons or pair.task is None:
            raise UserError(f"the pilots cannot be compared: {'; '.join(pair.reasons)}")
        found = differences(pair.task, pair.baseline, pair.candidate, frozenset({pair.headline}))
        if pair.headline not in found or not found[pair.headline].error > 0:
            raise UserError(f"the pilots are too small for {task}: their spread is unknown")
        own = found[pair.headline]
        return own.error, own.groups, f"the difference of two runs on {own.groups} groups"
    return _of_one(task, runs[0])


def _of_one(task: str, run: RunFolder) -> tuple[float, int, str]:
    folder = run.task(task)
    result, rows = results_by_task(run).get(task), folder.rows(["group"])
    if result is None or rows is None:
        raise UserError(f"{run.path} has no marks of {task!r}: run it with --limit first")
    if (interval := result["intervals"].get(result["headline"])) is None:
        raise UserError(f"{run.path} is too small for {task!r}: its spread is unknown")
    groups = rows["group"].nunique()
    # This includes the spread over prompts, which pairing removes, so the plan is on the safe side.
    error = math.sqrt(2) * (interval[1] - interval[0]) / (2 * NORMAL_REACH)
    return error, groups, f"the interval of a run of {groups} groups (on the safe side)"
