"""What marking will need, looked for before the first response is drawn.

Data and samples are there once a run is planned (``evaluate.plan``); here come the instruments: a
detector without weights or a judge nobody named is said now, not after hours of drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harmon_eval import registry, settings
from harmon_eval.core import Responder, Task, UserError
from harmon_eval.instruments.judging import Judge
from harmon_eval.running.jobs import Job
from harmon_eval.running.progress import Progress
from harmon_eval.store.run_folder import RunFolder
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
        Progress(name).warn(f"left out: {'; '.join(found)}")
    able = [job for job in jobs if job.name not in lacking]
    if not able:
        raise UserError(f"none of the tasks has its instruments here{WAY_OUT}")
    return able


def reach(
    jobs: Sequence[Job], model: Responder | None, suite: Suite | None, folder: RunFolder | None
) -> None:
    """Raises UserError where the model, or the judge of what it will give, cannot be reached.

    Only for tasks with something left to ask: stored responses and verdicts need no server.
    ``model``: None where workers ask. ``suite``: None where nothing is marked. ``folder``: None
    where nothing that is stored counts."""
    asked = model if model is not None and served(model) else None
    for job in jobs:
        judge = suite.instrument("judge", job.task) if suite and job.task.judged else None
        judging = judge.responder if isinstance(judge, Judge) and served(judge.responder) else None
        found = [responder for responder in (asked, judging) if responder is not None]
        if found and (folder is None or unasked(job, folder)):
            for responder in found:
                responder.reach()


def served(model: Responder) -> bool:
    """Whether there is something to reach, such as a server."""
    return type(model).reach is not Responder.reach


def unasked(job: Job, folder: RunFolder) -> bool:
    """Whether a sample of the job has no stored response."""
    if not folder.exists or job.name not in folder.manifest["tasks"]:
        return True
    recorded = folder.task(job.name).recorded()
    return any("error" in recorded.get(s.id, {"error": ""}) for s in job.samples)


def missing(task: Task, suite: Suite, dry: bool = False) -> list[str]:
    """Why instruments of a task cannot be opened here, a reason for each.

    ``dry``: a judge that is a model on this machine is not loaded."""
    found = []
    for role in task.instruments:
        try:
            spec = suite.instrument_name(role, task)
            if dry and role == "judge" and (local := local_judge(spec)):
                _check_local(local)  # loading it is for the run
            else:
                suite.instrument(role, task)
        except UserError as error:
            found.append(str(error))
    return found


def check_names(
    model: str | Responder, given: Mapping[str, Any], instruments: Mapping[str, str]
) -> None:
    """Raises UserError for a model, or a local judge that was named, which is not here: before
    either of them is loaded."""
    if isinstance(model, str):
        registry.check_model(model, given)
    if local := local_judge(instruments.get("judge")):
        _check_local(local)


def _check_local(judge: str) -> None:
    name, own = settings.split(judge)
    registry.check_model(name, {"device": own.get("device")})


def local_judge(spec: str | Callable[..., Any] | None) -> str:
    """The name and settings of a model on this machine that judges; empty for a served one and for
    rules."""
    if not isinstance(spec, str):
        return ""
    head = settings.split(spec)[0].partition(":")[0]
    return "" if head in ("", "openai", *registry.instrument_names("judge")) else spec


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
