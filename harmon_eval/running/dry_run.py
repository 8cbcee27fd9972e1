"""What a run would ask, and what is stored already, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harmon_eval import registry, suites
from harmon_eval.core import InstrumentMissing, Responder, UserError
from harmon_eval.instruments.judging import Estimate, Judge, planned
from harmon_eval.running import unopened
from harmon_eval.running.asking import Stored, stored_answers
from harmon_eval.running.evaluate import (
    Request,
    check_names,
    opened,
    plan,
    that_it_can,
    with_instruments,
)
from harmon_eval.running.jobs import Job
from harmon_eval.running.preflight import local_judge, served
from harmon_eval.running.rounds import Rounds
from harmon_eval.store.recorded import Recorded
from harmon_eval.suites import Suite


class Planned(NamedTuple):
    """What is left of a task: requests by verb, and those to its judge. ``seconds``: about how
    long asking takes; None where nothing of the task was asked yet."""

    task: str
    samples: int
    stored: int
    left: Counter[str]
    seconds: float | None
    judging: Estimate


class Plan(NamedTuple):
    """``unreachable``: servers that would be asked and cannot be reached, with the reason."""

    tasks: list[Planned]
    unreachable: tuple[str, ...]


def dry_run(request: Request) -> Plan:
    """What a run would do.

    Loads no weights of a model and writes nothing into the run folder. Raises UserError for
    whatever a run would need and is not here: data, instruments, a model of that name."""
    suite = suites.load(request.suite, request.data, request.instruments)
    check_names(request)
    folder = request.folder
    before = folder.manifest["tasks"] if folder.exists and not request.fresh else {}
    model = _light_model(request)
    jobs = plan(request.chosen, suite, request.settings, request.every_task, model)
    if able := model or unopened.found(request.model, request.given):
        jobs = that_it_can(able, jobs, request.every_task)
    jobs = with_instruments(jobs, suite, request, dry=True)
    tasks: list[Planned] = []
    asked = [model] if model is not None else []
    for job in jobs:
        task_folder = folder.task(job.name)
        recorded = task_folder.recorded() if job.name in before else Recorded(())
        rounds = Rounds(job.task, job.samples)
        stored, _ = stored_answers(task_folder, recorded, job.samples, rounds=rounds)
        left = Counter(s.request.verb for s in job.samples if s.id not in stored)
        seconds = task_folder.seconds_asking() if recorded else 0.0
        judge = _judge(job, suite, task_folder.path)
        if judge is not None and not request.predict_only:
            asked.append(judge.responder)
        rate = seconds / len(recorded) if seconds and recorded else None
        about = rate * left.total() if rate is not None else None
        judging = _judging(job, suite, stored, judge)
        tasks.append(Planned(job.name, len(job.samples), len(stored), left, about, judging))
    missing = any(each.stored != each.samples for each in tasks)
    return Plan(tasks, _unreachable(asked) if missing else ())


def _unreachable(asked: Sequence[Responder]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for responder in {r.fingerprint: r for r in asked if served(r)}.values():
        try:
            responder.reach()
        except UserError as error:
            found[str(error)] = None
    return tuple(found)


def _light_model(request: Request) -> Responder | None:
    """A model that runs no network here. Of others only name and settings are checked.

    Raises UserError for an unknown model, or one that is not there."""
    if isinstance(request.model, str) and registry.check_model(request.model, request.given):
        return None
    return opened(request)


def _judge(job: Job, suite: Suite, folder: Path) -> Judge | None:
    """The judge with its replies, if the task has one; a local model is not loaded."""
    spec = suite.instrument_name("judge", job.task)
    is_served = isinstance(spec, str) and spec.startswith("openai:")
    if job.task.judged and (is_served or spec == suite.defaults.get("judge")):
        with suppress(InstrumentMissing):
            judge: Judge = suite.instrument("judge", job.task).bound_to(folder)
            return judge
    return None


def _judging(job: Job, suite: Suite, stored: Stored, judge: Judge | None) -> Estimate:
    """What is left to ask the judge. Rules and a model on this machine cost nothing."""
    found = {s.id: stored.answer(s) for s in job.samples if job.task.judged}
    drawn = {name: answer for name, answer in found.items() if answer is not None}
    estimate = planned(job.task, job.samples, drawn, judge)
    here = local_judge(suite.instrument_name("judge", job.task)) if judge is None else True
    free = here and not (judge and judge.at_writer)
    return replace(estimate, dollars=0.0) if free else estimate
