"""Run, mark or only plan: from names and settings to jobs and their results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import Responder, Result, Sample, Scores, Task, UserError
from harmon_eval.metrics.text import counted
from harmon_eval.running import engine as engines
from harmon_eval.running import machine, preflight, unopened
from harmon_eval.running.asking import Able, Answered, deed
from harmon_eval.running.engine import Engine, Pool, Work
from harmon_eval.running.jobs import Job, RunSettings, prepare
from harmon_eval.running.overall import MARKING, Overall
from harmon_eval.running.progress import Progress
from harmon_eval.running.provenance import environment, now, written
from harmon_eval.running.runner import ASKED, go_on, start_job
from harmon_eval.running.work import Asking, AskingByName, MarkingByName, Model
from harmon_eval.settings import split
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
    needed; ``mark`` goes on from them. ``pool``: the workers. ``command``: the command line and its
    options, for the manifest."""

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
    pool: Pool = field(default_factory=Pool)
    command: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UserError for values of another type, which come from Python."""
        for name, kinds, wanted in (
            ("given", (Mapping,), "a dictionary"),
            ("instruments", (Mapping,), "a dictionary"),
            ("tasks", (str, Sequence, Mapping), "a name, a list of names, or a dictionary"),
            ("suite", (str,), "its name"),
        ):
            if not isinstance(value := getattr(self, name), kinds):
                said = "settings" if name == "given" else name
                raise UserError(f"{said} is a {type(value).__name__}: give {wanted}")

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
        place, own = split(named)
        model = _plain(place.partition("@http")[0].rstrip("/").rsplit("/", 1)[-1])
        every = {**own, **{k: v for k, v in self.given.items() if v is not None}}
        chosen = {k: v for k, v in every.items() if k not in MACHINE}
        if self.settings.seed:
            chosen["seed"] = self.settings.seed
        if self.settings.exact:
            chosen["exact"] = ""
        parts = [model or "model", self.suite, *(f"{k}{_text(v)}" for k, v in chosen.items())]
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
    results: Mapping[str, Scores]
    code: int = 0
    unmarked: tuple[str, ...] = ()
    unscored: int = 0


def task_list(given: str | Sequence[str]) -> list[str]:
    """Names of tasks, known ones and each once; in a text with commas between them.

    Raises UserError."""
    parts = given.split(",") if isinstance(given, str) else given
    if other := [part for part in parts if not isinstance(part, str)]:
        raise UserError(
            f"tasks holds a {type(other[0]).__name__}: give names, or a dictionary of name and task"
        )
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
    chosen: Mapping[str, Task | None],
    suite: Suite,
    settings: RunSettings,
    skip: bool,
    model: Responder | None = None,
) -> list[Job]:
    """Every task with its samples, before anything is asked. ``model``: one that is open here.

    Raises UserError for a task that cannot be; with ``skip`` it is left out and said instead."""
    jobs = []
    for name, task in chosen.items():
        try:
            found = task or registry.task(name)
            holds = partial(model.holds, found) if model else tuple
            job = prepare(name, found, suite, settings, holds)
            jobs.append(replace(job, nameless=task is not None))
        except UserError as error:
            if not skip:
                raise
            Progress(name).warn(f"left out: {error}")
    if not jobs:
        raise UserError(f"none of the tasks can run on suite {suite.name!r}")
    return jobs


def run(request: Request) -> Outcome:
    """Draw, answer, mark, summarize. Raises UserError."""
    chosen = request.chosen
    suite = suites.load(request.suite, request.data, request.instruments)
    folder, settings = request.folder, request.settings
    check_names(request)
    own = engines.opened(request.pool, folder.path, request.given.get("device"), settings.exact)
    with folder.locked(), own as engine:
        if settings.exact:
            machine.deterministic_kernels()
        # What needs no weights to be refused is refused before they are loaded.
        jobs: list[Job] = []
        if before := unopened.found(request.model, request.given):
            jobs = plan(chosen, suite, settings, request.every_task)
            jobs = that_it_can(before, jobs, request.every_task)
        asking, model = _asking(request, engine)
        here = asking.responder if isinstance(asking, Asking) else None
        jobs = jobs or plan(chosen, suite, settings, request.every_task, here)
        able = here or model
        jobs = that_it_can(able, jobs, request.every_task)
        jobs = with_instruments(jobs, suite, request, engine=engine)
        preflight.reach(
            jobs,
            able if isinstance(able, Responder) else None,
            None if request.predict_only else suite,
            None if request.fresh else folder,
        )
        folder.start(_identity(model, suite, settings), request.fresh)
        folder.update(
            state="running",
            started=folder.manifest.get("started", now()),
            environment={**environment(), "accelerator": model.accelerator},
            about=dict(able.about),  # what it has to say of the samples it was told too
            data=str(request.data) if request.data else None,
            instruments={r: written(spec) for r, spec in request.instruments.items()},
            batch_size=settings.batch_size,
            workers=None if request.pool.local else request.pool.workers or "cluster",
            device=request.given.get("device"),
            **({"command": dict(request.command)} if request.command else {}),
        )
        for job in jobs:
            start_job(job, folder)
        _say_what_runs(jobs, model, suite, folder)
        only = request.predict_only
        return run_jobs(jobs, asking, suite, folder, settings, engine, predict_only=only)


def check_names(request: Request) -> None:
    """Raises UserError for a model or a local judge that is not here, before one is loaded."""
    if request.pool.ray is None:  # the machines of a cluster have their own files
        judged = {} if request.predict_only else request.instruments
        preflight.check_names(request.model, request.given, judged)


def _say_what_runs(jobs: Sequence[Job], model: Model, suite: Suite, folder: RunFolder) -> None:
    """What was found, before the first request."""
    progress = Progress("run")
    samples = sum(len(job.samples) for job in jobs)
    tasks, asked = counted(len(jobs), "task"), counted(samples, "sample")
    progress.say(f"{model.name}, {tasks} of suite {suite.name}, {asked}")
    progress.detail(f"weights {model.fingerprint}, on {model.accelerator or 'the processor'}")
    progress.detail(f"settings {dict(model.settings)}")
    for job in jobs:
        told = _instruments(job, suite)
        asked = f"{len(job.samples):,} of {len(job.everything):,} samples"
        about = f"version {job.task.version}, {asked}" + (f", {told}" if told else "")
        progress.detail(f"{job.name}: {about}, into {folder.task(job.name).path}")


def _instruments(job: Job, suite: Suite) -> str:
    """What marks a task, such as "detector shapes, color palette"."""
    named = {role: suite.instrument_name(role, job.task) for role in job.task.instruments}
    return ", ".join(f"{role} {getattr(spec, '__name__', spec)}" for role, spec in named.items())


def _asking(request: Request, engine: Engine) -> tuple[Asking | AskingByName, Model]:
    """How the model is asked, by a worker or here, and what is known of it. Raises UserError."""
    if engine.remote:
        if not isinstance(request.model, str):
            raise UserError(
                "workers open the model themselves, so it needs a name: put it into a file with "
                "open_model and include that"
            )
        given = {name: value for name, value in request.given.items() if value is not None}
        named = AskingByName(request.model, tuple(given.items()))
        model: Model = engine.facts(named)
        if not model.stays:
            return named, model
    here = Asking(opened(request))
    return here, here.open().facts


def with_instruments(
    jobs: Sequence[Job],
    suite: Suite,
    request: Request,
    dry: bool = False,
    engine: Engine | None = None,
) -> list[Job]:
    """The jobs that can be marked here; all of them where nothing shall be. Raises UserError."""
    if request.predict_only:
        preflight.check_roles(request.instruments, [job.task for job in jobs])
        return list(jobs)

    def missing(job: Job) -> list[str]:
        """Of workers, what they lack."""
        if engine is None or not engine.remote:
            return preflight.missing(job.task, suite, dry)
        try:
            at_writer = engine.facts(MarkingByName.of(job, suite)).at_writer
        except UserError as error:
            return [str(error)]
        return preflight.missing(job.task, suite) if at_writer else []

    return preflight.check(jobs, request.instruments, request.every_task, missing)


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


def that_it_can(model: Able, jobs: Sequence[Job], skip: bool) -> list[Job]:
    """The jobs that the model is able to do. Raises UserError for others, unless they may go."""
    able = []
    for job in jobs:
        lacks = [kind.deed for verb, kind in job.kinds.items() if not model.can(verb)]
        if lack := " or ".join(lacks):
            if not skip:
                raise UserError(f"task {job.name!r} asks for what {model.name} cannot do: {lack}")
            Progress(job.name).warn(f"left out: {model.name} cannot {lack}")
            continue
        try:
            model.expect(job.name, job.task, job.samples)
        except UserError as error:
            if not skip:
                raise
            Progress(job.name).warn(f"left out: {error}")
        else:
            able.append(job)
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
    predict_only: bool = False,
) -> Outcome:
    names, results = [job.name for job in jobs], {}
    marked_by = {job.name: _instruments(job, suite) for job in jobs}
    overall = Overall(_planned(jobs, folder, asking is not None, predict_only), marked_by)
    for job in jobs:
        overall.begin(job.name)
        progress = Progress(job.name, overall=overall)
        if len(jobs) > 1 and not progress.live:
            progress.say(str(overall))
        result = go_on(
            job,
            asking,
            suite,
            folder,
            settings.batch_size,
            progress,
            engine,
            settings.exact,
            predict_only,
        )
        if result is not None:
            results[job.name] = result
    return finish(names, folder, results, predict_only)


def _planned(
    jobs: Sequence[Job], folder: RunFolder, asked: bool, predict_only: bool
) -> dict[str, dict[str, int]]:
    """By task and what is done: how many samples, but for tasks that were finished before."""
    before, found = folder.manifest["tasks"], {}
    for job in jobs:
        left = 0 if before[job.name].get("n") == len(job.samples) else len(job.samples)
        ask = asked and left > 0
        found[job.name] = {deed(v): k.samples if ask else 0 for v, k in job.kinds.items()}
        if not predict_only:
            found[job.name][MARKING] = left
    return found


def finish(
    names: Sequence[str],
    folder: RunFolder,
    results: Mapping[str, Result],
    predict_only: bool = False,
) -> Outcome:
    """The run's state and its tables."""
    unmarked, unscored = left_over(names, folder)
    state = f"not marked: {', '.join(unmarked)}" if unmarked else "done"
    folder.update(state=state, finished=now())
    tables.write_tables(folder.path)
    # Where nothing was to be marked, that it is not is no failure; a lost response is one.
    failed = unscored or (unmarked and not predict_only)
    return Outcome(folder, results, int(bool(failed)), unmarked, unscored)


def left_over(names: Sequence[str], folder: RunFolder) -> tuple[tuple[str, ...], int]:
    """Those of the tasks that are not marked, and how many samples of the others are unscored."""
    states = folder.manifest["tasks"]
    unmarked = tuple(name for name in names if states[name]["state"] != "done")
    counted = [n for n in names if n not in unmarked or states[n]["state"] == ASKED]
    return unmarked, sum(states[n].get("unscored", 0) for n in counted)
