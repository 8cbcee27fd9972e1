"""Run, mark or only plan: from names and settings to jobs and their results."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import Responder, Result, Scores, Task, UserError
from harmon_eval.running import machine, preflight
from harmon_eval.running.asking import unable
from harmon_eval.running.jobs import Job, RunSettings, prepare
from harmon_eval.running.processes import Launch, Seat, Team
from harmon_eval.running.progress import Progress
from harmon_eval.running.provenance import environment, now, written
from harmon_eval.running.results import scores
from harmon_eval.running.runner import ASKED, run_job, start_job
from harmon_eval.store import tables
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites import Suite

# Settings that say where and how a model is loaded, and nothing about what it gives.
MACHINE = ("device", "kl16", "compile")


@dataclass(frozen=True)
class Request:
    """What a run is asked to do.

    ``model``: a name with its settings, or a Responder; ``given``: further settings of a named one.
    ``tasks``: names, in one text with commas between them or in a list; ``all``; or tasks by the
    names they shall have. ``instruments``: role -> name and settings of an instrument other
    than the default. ``predict_only``: responses are stored and not marked, so no instruments are
    needed; ``mark`` goes on from them."""

    model: str | Responder = registry.BUNDLED_MODEL
    given: Mapping[str, Any] = field(default_factory=dict)
    tasks: str | Sequence[str] | Mapping[str, Task] = "all"
    suite: str = "mini"
    settings: RunSettings = field(default_factory=RunSettings)
    data: Path | None = None
    output: Path | None = None
    fresh: bool = False
    instruments: Mapping[str, str] = field(default_factory=dict)
    predict_only: bool = False

    @property
    def every_task(self) -> bool:
        return isinstance(self.tasks, str) and self.tasks.strip() == "all"

    @property
    def chosen(self) -> dict[str, Task | None]:
        """Names of the tasks, with those that came as objects. Raises UserError."""
        if isinstance(self.tasks, Mapping):
            return dict(self.tasks)
        return dict.fromkeys(task_list(self.tasks))

    @property
    def folder(self) -> RunFolder:
        """The output folder; by default one for these settings, so that the same call resumes."""
        if self.output is not None:
            return RunFolder(self.output)
        named = self.model if isinstance(self.model, str) else self.model.name
        place = named.partition("?")
        own = [place[2].replace("&", "-")] if place[2] else []
        model = _plain(place[0].rstrip("/").rsplit("/", 1)[-1])
        chosen = {k: v for k, v in self.given.items() if v is not None and k not in MACHINE}
        if self.settings.seed:
            chosen["seed"] = self.settings.seed
        if self.settings.exact:
            chosen["exact"] = ""
        parts = [model or "model", self.suite, *own, *(f"{k}{_text(v)}" for k, v in chosen.items())]
        return RunFolder(Path("runs") / _plain("-".join(parts)))


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def _text(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its folder, the results by task, and what could not be marked.

    ``code`` is the exit code of the command: 0 done, 1 with unscored samples or unmarked tasks.
    ``ours``: this process added the run up, of several, so it is the one that shows it."""

    folder: RunFolder
    results: Mapping[str, Scores]
    code: int = 0
    unmarked: tuple[str, ...] = ()
    unscored: int = 0
    ours: bool = True


def task_list(given: str | Sequence[str]) -> list[str]:
    """Names of tasks, known ones and each once; in a text with commas between them.

    Raises UserError."""
    parts = given.split(",") if isinstance(given, str) else given
    names = list(dict.fromkeys(name.strip() for name in parts if name.strip()))
    if not names:
        raise UserError("--tasks names no task: give A,B or leave it out for all")
    known = registry.task_names()
    if names == ["all"]:
        return known
    for name in names:
        registry.check_task_name(name)
    return names


def plan(
    chosen: Mapping[str, Task | None], suite: Suite, settings: RunSettings, skip: bool
) -> list[Job]:
    """Every task with its samples, before anything is asked.

    Raises UserError for a task that cannot be; with ``skip`` it is left out and said instead."""
    jobs = []
    for name, task in chosen.items():
        try:
            jobs.append(prepare(name, task or registry.task(name), suite, settings))
        except UserError as error:
            if not skip:
                raise
            Progress(name).say(f"left out: {error}")
    if not jobs:
        raise UserError(f"none of the tasks can run on suite {suite.name!r}")
    return jobs


def run(request: Request, launch: Launch | None = None) -> Outcome:
    """Draw, answer, mark, summarize.

    ``launch`` says who else takes part; by default the environment does. Raises UserError."""
    chosen = request.chosen
    suite = suites.load(request.suite, request.data, request.instruments)
    folder = request.folder
    launch = launch or Launch.from_environment(os.environ)
    with folder.joined(launch) as seat:
        machine.take_own_accelerator(launch, os.environ)
        if request.settings.exact:
            machine.deterministic_kernels()
        responder = opened(request)
        jobs = plan(chosen, suite, request.settings, request.every_task)
        jobs = that_it_can(responder, jobs, request.every_task)
        jobs = with_instruments(jobs, suite, request)
        identity = _identity(responder, suite, request.settings)

        def begin() -> None:
            folder.start(identity, request.fresh)
            folder.update(
                state="running",
                started=folder.manifest.get("started", now()),
                environment=environment(),
                about=dict(responder.about),
                data=str(request.data) if request.data else None,
                instruments={r: written(spec) for r, spec in request.instruments.items()},
                batch_size=request.settings.batch_size,
                processes=launch.size,
                device=request.given.get("device"),
            )
            for job in jobs:
                start_job(job, folder)

        team = together(seat, begin)
        folder.expect(identity)
        only = request.predict_only
        return run_jobs(jobs, responder, suite, folder, team, request.settings, predict_only=only)


def with_instruments(
    jobs: Sequence[Job], suite: Suite, request: Request, dry: bool = False
) -> list[Job]:
    """The jobs that can be marked here; all of them where nothing shall be. Raises UserError."""
    if request.predict_only:
        preflight.check_roles(request.instruments, [job.task for job in jobs])
        return list(jobs)
    return preflight.check(jobs, suite, request.instruments, request.every_task, dry)


def opened(request: Request) -> Responder:
    """The model of a request. Raises UserError."""
    if isinstance(request.model, str):
        return registry.model(request.model, request.given)
    if request.given:
        raise UserError("settings are for a model that is given by its name")
    return request.model


def _identity(responder: Responder, suite: Suite, settings: RunSettings) -> dict[str, Any]:
    return {
        "model": {
            "name": responder.name,
            "fingerprint": responder.fingerprint,
            "settings": dict(responder.settings),
        },
        "suite": suite.name,
        "seed": settings.seed,
        # Numbers of one sample alone are not those of a batch: never both in one run.
        **({"exact": True} if settings.exact else {}),
    }


def together(seat: Seat, begin: Callable[[], None]) -> Team:
    """The team, once its first process has made the folder ready."""
    if not seat.first:
        return seat.enter_session()
    begin()
    return seat.open_session()


def that_it_can(responder: Responder, jobs: Sequence[Job], skip: bool) -> list[Job]:
    """The jobs that the model is able to do. Raises UserError for others, unless they may go."""
    able = []
    for job in jobs:
        if lack := unable(responder, job.samples):
            if not skip:
                raise UserError(
                    f"task {job.name!r} asks for what {responder.name} cannot do: {lack}"
                )
            Progress(job.name).say(f"left out: {responder.name} cannot {lack}")
            continue
        try:
            responder.expect(job.name, job.task, job.samples)
        except UserError as error:
            if not skip:
                raise
            Progress(job.name).say(f"left out: {error}")
        else:
            able.append(job)
    if not able:
        raise UserError(f"{responder.name} can do none of the tasks")
    return able


def run_jobs(
    jobs: Sequence[Job],
    responder: Responder | None,
    suite: Suite,
    folder: RunFolder,
    team: Team,
    settings: RunSettings,
    predict_only: bool = False,
) -> Outcome:
    names, results = [job.name for job in jobs], {}
    for job in jobs:
        result = run_job(
            job,
            responder,
            suite,
            folder,
            settings.batch_size,
            Progress(job.name),
            team,
            settings.exact,
            predict_only,
        )
        if result is not None:
            results[job.name] = result
    for _ in team.shares(["end"]):
        outcome = finish(names, folder, results, predict_only)
        team.finish("end", outcome.code)
        team.wait_for_all()
        return outcome
    return Outcome(folder, _all(names, folder, results), int(team.result("end")), ours=False)


def _all(
    names: Sequence[str], folder: RunFolder, results: Mapping[str, Result]
) -> dict[str, Scores]:
    """The results of this process, and from the folder those that others of the team added up."""
    others: dict[str, Scores] = {}
    if states := {n: s["state"] for n, s in folder.manifest["tasks"].items() if n not in results}:
        stored = tables.results_by_task(folder)
        done = (name for name in names if states.get(name) == "done" and name in stored)
        others = {name: scores(stored[name]) for name in done}
    found = {**results, **others}
    return {name: found[name] for name in names if name in found}


def finish(
    names: Sequence[str],
    folder: RunFolder,
    results: Mapping[str, Result],
    predict_only: bool = False,
) -> Outcome:
    """By one process: the run's state and its tables."""
    unmarked, unscored = left_over(names, folder)
    state = f"not marked: {', '.join(unmarked)}" if unmarked else "done"
    folder.update(state=state, finished=now())
    tables.write_tables(folder.path)
    whole = _all(names, folder, results)
    # Where nothing was to be marked, that it is not is no failure; a lost response is one.
    failed = unscored or (unmarked and not predict_only)
    return Outcome(folder, whole, int(bool(failed)), unmarked, unscored)


def left_over(names: Sequence[str], folder: RunFolder) -> tuple[tuple[str, ...], int]:
    """Those of the tasks that are not marked, and how many samples of the others are unscored."""
    states = folder.manifest["tasks"]
    unmarked = tuple(name for name in names if states[name]["state"] != "done")
    counted = [n for n in names if n not in unmarked or states[n]["state"] == ASKED]
    return unmarked, sum(states[n].get("unscored", 0) for n in counted)
