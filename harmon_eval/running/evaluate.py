"""Run, mark or only plan: from names and settings to jobs and their results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import Responder, Result, Sample, Task, UserError
from harmon_eval.running import engine as engines
from harmon_eval.running import machine
from harmon_eval.running.asking import Answered
from harmon_eval.running.engine import Engine, Pool, Work
from harmon_eval.running.jobs import Job, RunSettings, prepare
from harmon_eval.running.progress import Progress
from harmon_eval.running.provenance import environment, now
from harmon_eval.running.runner import go_on, start_job
from harmon_eval.running.work import Asking, AskingByName, Model
from harmon_eval.store import tables
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.suites import Suite

# Settings that say where and how a model is loaded, and nothing about what it gives.
MACHINE = ("device", "kl16", "compile")


@dataclass(frozen=True)
class Request:
    """What a run is asked to do.

    ``model``: a name with its settings, or a Responder; ``given``: further settings of a named one.
    ``tasks``: names separated by commas, or ``all``; or tasks by their names. ``instruments``:
    role -> name and settings of an instrument other than the default. ``pool``: the workers."""

    model: str | Responder = registry.BUNDLED_MODEL
    given: Mapping[str, Any] = field(default_factory=dict)
    tasks: str | Mapping[str, Task] = "all"
    suite: str = "mini"
    settings: RunSettings = field(default_factory=RunSettings)
    data: Path | None = None
    output: Path | None = None
    fresh: bool = False
    instruments: Mapping[str, str] = field(default_factory=dict)
    pool: Pool = field(default_factory=Pool)

    @property
    def every_task(self) -> bool:
        return isinstance(self.tasks, str) and self.tasks.strip() == "all"

    @property
    def chosen(self) -> dict[str, Task | None]:
        """Names of the tasks, with those that came as objects. Raises UserError."""
        if isinstance(self.tasks, str):
            return dict.fromkeys(task_list(self.tasks))
        return dict(self.tasks)

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

    ``code`` is the exit code of the command: 0 done, 1 with unscored samples or unmarked tasks."""

    folder: RunFolder
    results: Mapping[str, Result]
    code: int = 0
    unmarked: tuple[str, ...] = ()
    unscored: int = 0


def task_list(text: str) -> list[str]:
    """Names of tasks, known ones and each once. Raises UserError."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
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
            job = prepare(name, task or registry.task(name), suite, settings)
            jobs.append(replace(job, nameless=task is not None))
        except UserError as error:
            if not skip:
                raise
            Progress(name).say(f"left out: {error}")
    if not jobs:
        raise UserError(f"none of the tasks can run on suite {suite.name!r}")
    return jobs


def run(request: Request) -> Outcome:
    """Draw, answer, mark, summarize. Raises UserError."""
    chosen = request.chosen
    suite = suites.load(request.suite, request.data, request.instruments)
    folder, settings = request.folder, request.settings
    own = engines.opened(request.pool, folder.path, request.given.get("device"), settings.exact)
    with folder.locked(), own as engine:
        if settings.exact and not engine.remote:
            machine.deterministic_kernels()
        asking = _asking(request, engine)
        model: Model = engine.facts(asking)
        jobs = plan(chosen, suite, settings, request.every_task)
        jobs = _that_it_can(model, jobs, request.every_task)
        folder.start(_identity(model, suite, settings), request.fresh)
        folder.update(
            state="running",
            started=folder.manifest.get("started", now()),
            environment={**environment(), "accelerator": model.accelerator},
            about=dict(model.about),
            data=str(request.data) if request.data else None,
            instruments=dict(request.instruments),
            batch_size=settings.batch_size,
            workers=None if request.pool.local else request.pool.workers or "cluster",
            device=request.given.get("device"),
        )
        for job in jobs:
            start_job(job, folder)
        return run_jobs(jobs, asking, suite, folder, settings, engine)


def _asking(request: Request, engine: Engine) -> Work[Sample, Answered]:
    """Raises UserError."""
    if not engine.remote:
        return Asking(opened(request))
    if not isinstance(request.model, str):
        raise UserError(
            "workers open the model themselves, so it needs a name: put it into a file with "
            "open_model and include that"
        )
    given = {k: v for k, v in request.given.items() if v is not None}
    return AskingByName(request.model, tuple(given.items()))


def opened(request: Request) -> Responder:
    """The model of a request. Raises UserError."""
    if isinstance(request.model, str):
        return registry.model(request.model, request.given)
    if request.given:
        raise UserError("settings are for a model that is given by its name")
    return request.model


def _identity(model: Model, suite: Suite, settings: RunSettings) -> dict[str, Any]:
    return {
        "model": {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "settings": dict(model.settings),
        },
        "suite": suite.name,
        "seed": settings.seed,
        # Numbers of one sample alone are not those of a batch: never both in one run.
        **({"exact": True} if settings.exact else {}),
    }


def _that_it_can(model: Model, jobs: Sequence[Job], skip: bool) -> list[Job]:
    """The jobs that the model is able to do. Raises UserError for others, unless they may go."""
    able = []
    for job in jobs:
        if not (lack := model.unable(job.samples)):
            able.append(job)
        elif skip:
            Progress(job.name).say(f"left out: {model.name} cannot {lack}")
        else:
            raise UserError(f"task {job.name!r} asks for what {model.name} cannot do: {lack}")
    if not able:
        raise UserError(f"{model.name} can do none of the tasks")
    return able


def run_jobs(
    jobs: Sequence[Job],
    asking: Work[Sample, Answered] | None,
    suite: Suite,
    folder: RunFolder,
    settings: RunSettings,
    engine: Engine,
) -> Outcome:
    size, exact = settings.batch_size, settings.exact
    results = {}
    for job in jobs:
        progress = Progress(job.name)
        result = go_on(job, asking, suite, folder, size, progress, engine, exact)
        if result is not None:
            results[job.name] = result
    return finish([job.name for job in jobs], folder, results)


def finish(names: Sequence[str], folder: RunFolder, results: Mapping[str, Result]) -> Outcome:
    """The run's state and its tables."""
    states = folder.manifest["tasks"]
    unmarked = tuple(name for name in names if states[name]["state"] != "done")
    unscored = sum(states[name]["unscored"] for name in names if name not in unmarked)
    state = f"not marked: {', '.join(unmarked)}" if unmarked else "done"
    folder.update(state=state, finished=now())
    tables.write_tables(folder.path)
    return Outcome(folder, results, int(bool(unscored or unmarked)), unmarked, unscored)
