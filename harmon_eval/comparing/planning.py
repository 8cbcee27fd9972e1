"""How many groups of samples are needed to see a difference, computed before any run.

The answer is that of the gate's own test (``power.needed_for``) for groups that look like those of
a pilot. From two pilot runs, it is what their comparison shows. From one, it is what two runs like
it with different seeds would show. Without a pilot, it is the worst case for 0/1 marks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

from harmon_eval import registry
from harmon_eval.comparing.bounds import BoundedMean, Student
from harmon_eval.comparing.paired import ALPHA, GAFFKE, JACKKNIFE, Difference, differences
from harmon_eval.comparing.power import needed_for, seen
from harmon_eval.comparing.runs import pairs
from harmon_eval.core import Sample, UserError
from harmon_eval.metrics.floors import if_marked
from harmon_eval.metrics.text import counted
from harmon_eval.running.jobs import Job, RunSettings, prepare
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import results_by_task
from harmon_eval.suites.suite import Suite

NORMAL_REACH = 1.96
ASSUMED = 100  # groups of a pilot that nobody ran


@dataclass(frozen=True)
class Plan:
    """``needed`` groups (prompts, or images with questions) out of ``available``, with ``each``
    samples per group. ``detectable``: the smallest distance that all available groups show; None
    if it is more than there can be."""

    task: str
    metric: str
    distance: float
    needed: int
    available: int
    each: float
    detectable: float | None
    basis: str


def plan(
    task: str,
    distance: float,
    size: int,
    suite: Suite,
    pilots: Sequence[Path] = (),
    tolerance: float | None = None,
) -> Plan:
    """``distance``: how far the truth lies from the margin. ``size``: over how many tasks the test
    is corrected. ``tolerance``: of a test that finds a loss; None if it rules one out.

    Raises UserError for a distance that is not above 0, or if the metric is not a share of marks
    and there is no pilot."""
    if not (math.isfinite(distance) and distance > 0):
        raise UserError(f"a distance of {distance:g} between loss and margin: must be more than 0")
    job = prepare(task, registry.task(task), suite, RunSettings())
    available = len({sample.group for sample in job.everything})
    each = len(job.everything) / available
    top = job.task.main.maximum
    if pilots:
        found, basis = _piloted(task, top, pilots)
    elif job.task.higher_is_better and not job.task.replicates:
        own = _counted(job)
        found = _fair_coins(_images(own), top or 1.0)
        groups = len({sample.group for sample in own})
        # In prompts of the task, as what is available: the headline may count only some of them.
        found = replace(found, groups=round(found.groups * available / groups))
        basis = f"worst case of right or wrong marks, scored 0 to {top or 1:g}"
        if groups < available:
            basis += f"; the headline counts {groups:,} of the {counted(available, 'prompt')}"
    else:
        raise UserError(f"{task}: {job.task.headline} is not a share of marks: give a --pilot RUN")
    assert found.evidence is not None
    level = ALPHA / size
    needed = needed_for(distance, found, level, tolerance)
    reach = seen(found.value, found.evidence.times(available / found.groups), level)
    possible = reach <= min(found.evidence.most, top or math.inf)
    metric = job.task.headline
    shown = reach if possible else None
    return Plan(task, metric, distance, needed, available, each, shown, basis)


def _counted(job: Job) -> Sequence[Sample]:
    """The samples that the headline counts, as far as their assumed marks tell."""
    which = job.task.main.rows
    if which is None or job.task.bounds is None:
        return job.everything
    rows = pd.DataFrame([if_marked(job.task, sample, True) for sample in job.everything])
    kept = which(rows, job.task.main.name).to_numpy(bool)
    return [sample for sample, own in zip(job.everything, kept, strict=True) if own]


def _images(samples: Sequence[Sample]) -> int:
    """How many independent samples a group has: each image of a prompt counts, but all questions
    about one image count as one, the worst case."""
    drawn = samples[0].request.gives == "image"
    return len(samples) // len({sample.group for sample in samples}) if drawn else 1


def _fair_coins(each: int, top: float) -> Difference:
    """Of two runs whose marks are fair coins, ``each`` a group."""
    more = np.arange(-each, each + 1)
    counts = ASSUMED * special.comb(2 * each, more + each) / 4.0**each
    evidence = BoundedMean(np.ones(len(more)), top * more / each, counts, top)
    return Difference(0.0, 0.0, ASSUMED, GAFFKE, evidence)


def _piloted(task: str, top: float | None, pilots: Sequence[Path]) -> tuple[Difference, str]:
    """A difference of the headline, and in words where it is from."""
    runs = [RunFolder(path) for path in pilots]
    if len(runs) > 2:
        raise UserError("--pilot takes one run or two")
    if len(runs) == 1:
        return _of_one(task, top, runs[0])
    pair = next(iter(pairs(runs[0], runs[1], [task], any_settings=True)))
    if pair.reasons or pair.task is None:
        raise UserError(f"the pilots cannot be compared: {'; '.join(pair.reasons)}")
    if pair.identical and pair.baseline.equals(pair.candidate):
        raise UserError(
            f"{pilots[0]} and {pilots[1]} are runs of the same weights, settings and seed, so they "
            "do not show what would differ: give one of them, or runs of two checkpoints"
        )
    head = frozenset({pair.headline})
    found = differences(pair.task, pair.baseline, pair.candidate, head, strata=pair.census)
    own = found.get(pair.headline)
    if own is None or own.evidence is None:
        raise UserError(f"the pilots are too small for {task}: their spread is unknown")
    basis = f"the difference of two runs on {counted(own.groups, own.unit)}"
    # In prompts of the task, as what is available: the headline may count only some of them.
    return replace(own, groups=int(pair.baseline["group"].nunique())), basis


def _of_one(task: str, top: float | None, run: RunFolder) -> tuple[Difference, str]:
    folder = run.task(task)
    result, rows = results_by_task(run).get(task), folder.rows(["group"])
    if result is None or rows is None:
        raise UserError(f"{run.path} has no marks of {task!r}: run it with --limit first")
    if (interval := result["intervals"].get(result["headline"])) is None:
        raise UserError(f"{run.path} is too small for {task!r}: its spread is unknown")
    groups = int(rows["group"].nunique())
    basis = f"the interval of a run of {counted(groups, 'group')} (on the safe side)"
    # This includes the spread over prompts, which pairing removes, so the plan is on the safe side.
    error = math.sqrt(2) * (interval[1] - interval[0]) / (2 * NORMAL_REACH)
    if top is None:
        known = Student(0.0, error, max(groups - 1, 1))
        return Difference(0.0, 0.0, groups, JACKKNIFE, known), basis
    # As many groups that gain or lose all as give this error.
    moved = min(groups * error**2 / top**2, 1.0) * groups
    counts = np.array([moved / 2, groups - moved, moved / 2])
    evidence = BoundedMean(np.ones(3), top * np.array([-1.0, 0.0, 1.0]), counts, top)
    return Difference(0.0, 0.0, groups, GAFFKE, evidence), basis
