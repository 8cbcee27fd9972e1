"""What marking will need, looked for before the first response is drawn.

Data and samples are there once a run is planned (``evaluate.plan``); here come the instruments: a
detector without weights or a judge nobody named is said now, not after hours of drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harmon_eval import registry, settings
from harmon_eval.core import Task, UserError
from harmon_eval.running.jobs import Job
from harmon_eval.running.progress import Progress
from harmon_eval.suites import Suite

WAY_OUT = "; or draw now with --predict-only, and mark later with `python -m harmon_eval mark RUN`"


def check(
    jobs: Sequence[Job], given: Mapping[str, str], skip: bool, lacks: Callable[[Job], list[str]]
) -> list[Job]:
    """The jobs whose instruments can be opened, and now are.

    ``lacks``: why those of a job cannot be (see ``missing``). Raises UserError that names
    everything that is missing, by task; with ``skip`` such tasks are left out and said instead."""
    check_roles(given, [job.task for job in jobs])
    lacking = {job.name: found for job in jobs if (found := lacks(job))}
    if not lacking:
        return list(jobs)
    if not skip:
        reasons = [f"{name}: {reason}" for name, found in lacking.items() for reason in found]
        raise UserError("; ".join(dict.fromkeys(reasons)) + WAY_OUT)
    for name, found in lacking.items():
        Progress(name).say(f"left out: {'; '.join(found)}")
    able = [job for job in jobs if job.name not in lacking]
    if not able:
        raise UserError(f"none of the tasks has its instruments here{WAY_OUT}")
    return able


def missing(task: Task, suite: Suite, dry: bool = False) -> list[str]:
    """Why instruments of a task cannot be opened here, a reason for each.

    ``dry``: a judge that is a model on this machine is not loaded."""
    found = []
    for role in task.instruments:
        try:
            if dry and (local := _local_judge(role, suite, task)):
                registry.model_settings(local)  # known by its name; loading it is for the run
            else:
                suite.instrument(role, task)
        except UserError as error:
            found.append(str(error))
    return found


def _local_judge(role: str, suite: Suite, task: Task) -> str:
    """The name of the model on this machine that judges; empty for a served one and for rules."""
    spec: Any = suite.instrument_name(role, task)
    if role != "judge" or not isinstance(spec, str):
        return ""
    name = settings.split(spec)[0]
    head = name.partition(":")[0]
    return "" if head in ("", "openai", *registry.instrument_names(role)) else name


def check_roles(given: Mapping[str, str], tasks: Iterable[Task]) -> None:
    """Raises UserError for an instrument that was chosen for a role which no task has."""
    used = dict.fromkeys(role for task in tasks for role in task.instruments)
    for role, spec in given.items():
        if role not in used:
            known = f"they use: {', '.join(used)}" if used else "they use no instruments"
            raise UserError(
                f"--instrument {role}={spec}: none of the tasks uses a {role} ({known}): "
                "leave it out, or choose a task that does"
            )
