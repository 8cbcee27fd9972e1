"""What a run would ask, and what is stored already, without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import InstrumentMissing
from harmon_eval.instruments.judging import planned
from harmon_eval.running.asking import Stored, stored_answers
from harmon_eval.running.evaluate import (
    Request,
    opened,
    plan,
    that_it_can,
    with_instruments,
)
from harmon_eval.running.jobs import Job
from harmon_eval.running.rounds import Rounds
from harmon_eval.suites import Suite


def dry_run(request: Request) -> list[dict[str, Any]]:
    """A row a task: samples, stored, what is left to ask by verb, and about how long.

    Loads no weights of a model and writes nothing into the run folder. Raises UserError for
    whatever a run would need and is not here: data, instruments, a model of that name."""
    suite = suites.load(request.suite, request.data, request.instruments)
    folder = request.folder
    before = folder.manifest["tasks"] if folder.exists and not request.fresh else {}
    jobs = plan(request.chosen, suite, request.settings, request.every_task)
    jobs = _that_light_models_can(request, jobs)
    jobs = with_instruments(jobs, suite, request, dry=True)
    verbs = dict.fromkeys(sample.request.verb for job in jobs for sample in job.samples)
    rows = []
    for job in jobs:
        task_folder = folder.task(job.name)
        recorded: Mapping[str, Any] = task_folder.recorded() if job.name in before else {}
        rounds = Rounds(job.task, job.samples)
        stored, _ = stored_answers(task_folder, recorded, job.samples, rounds=rounds)
        left = Counter(s.request.verb for s in job.samples if s.id not in stored)
        seconds = task_folder.seconds_asking() if recorded else 0.0
        rate = seconds / len(recorded) if seconds and recorded else None
        rows.append(
            {
                "task": job.name,
                "samples": len(job.samples),
                "stored": len(stored),
                **{f"to {verb}": left[verb] for verb in verbs},
                "about": f"{rate * left.total():.0f} s" if rate is not None else "?",
                **_judging(job, suite, stored, task_folder.path),
            }
        )
    return rows


def _that_light_models_can(request: Request, jobs: list[Job]) -> list[Job]:
    """The jobs of a model that runs no network here. Of others only name and settings are checked.

    Raises UserError for an unknown model, one that is not there, or one that can do none of it."""
    if isinstance(request.model, str) and registry.check_model(request.model, request.given):
        return jobs
    return that_it_can(opened(request), jobs, request.every_task)


def _judging(job: Job, suite: Suite, stored: Stored, folder: Path) -> dict[str, str]:
    """What is left to ask the judge; a local model is not loaded for that."""
    judge = None
    spec = suite.instrument_name("judge", job.task)
    served = isinstance(spec, str) and spec.startswith("openai:")
    if job.task.judged and (served or spec == suite.defaults.get("judge")):
        with suppress(InstrumentMissing):
            judge = suite.instrument("judge", job.task).bound_to(folder)
    found = {s.id: stored.answer(s) for s in job.samples if job.task.judged}
    drawn = {name: answer for name, answer in found.items() if answer is not None}
    estimate = planned(job.task, job.samples, drawn, judge)
    cost = "?" if estimate.dollars is None or not served else f"{estimate.dollars:.2f} USD"
    tokens = f"{estimate.tokens_in:,}, {estimate.tokens_out:,}"
    return {
        "to judge": str(estimate.requests),
        "tokens in, out": tokens if estimate.requests else "",
        "about, judge": cost if estimate.requests else "",
    }
