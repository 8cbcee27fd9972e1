"""Run, mark or only plan: from names and settings to jobs, and the tables at the end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harmon_eval import registry, suites
from harmon_eval.core import (
    InstrumentMissing,
    ModelOptions,
    Responder,
    Suite,
    UserError,
)
from harmon_eval.instruments.judge import JudgeOptions, planned
from harmon_eval.report import tables
from harmon_eval.running import machine
from harmon_eval.running.asking import Stored, stored_answers, unable
from harmon_eval.running.processes import Launch, Seat, Team
from harmon_eval.running.progress import Progress, open_console, printable
from harmon_eval.running.provenance import environment, now
from harmon_eval.running.runner import Job, RunSettings, prepare, run_job, start_job
from harmon_eval.store.run_folder import RunFolder

__all__ = ["Request", "RunSettings", "dry_run", "mark", "run"]


@dataclass(frozen=True)
class Request:
    """What a run is asked to do. ``tasks``: names separated by commas, or ``all``."""

    model: str
    options: ModelOptions
    tasks: str
    suite: str
    settings: RunSettings
    data: Path | None = None
    output: Path | None = None
    fresh: bool = False
    detector: str | None = None
    judge: JudgeOptions = field(default_factory=JudgeOptions)

    @property
    def every_task(self) -> bool:
        return self.tasks.strip() == "all"

    @property
    def folder(self) -> RunFolder:
        """The output folder; by default one for these settings, so that the same call resumes."""
        if self.output is not None:
            return RunFolder(self.output)
        model = re.sub(r"[^\w.-]+", "-", self.model.rstrip("/").rsplit("/", 1)[-1]).strip("-.")
        chosen = {
            k: v for k, v in self.options.given().items() if k not in ("device", "kl16", "compile")
        }
        if self.settings.seed:
            chosen["seed"] = self.settings.seed
        if self.settings.exact:
            chosen["exact"] = ""
        parts = [model or "model", self.suite, *(f"{k}{_plain(v)}" for k, v in chosen.items())]
        return RunFolder(Path("runs") / "-".join(parts))


def _plain(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


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


def plan(names: Sequence[str], suite: Suite, settings: RunSettings, skip: bool) -> list[Job]:
    """Every task with its samples, before anything is asked.

    Raises UserError for a task that cannot be; with ``skip`` it is left out and said instead."""
    jobs = []
    for name in names:
        try:
            jobs.append(prepare(name, registry.task(name), suite, settings))
        except UserError as error:
            if not skip:
                raise
            Progress(name).say(f"left out: {error}")
    if not jobs:
        raise UserError(f"none of the tasks can run on suite {suite.name!r}")
    return jobs


def run(request: Request, launch: Launch | None = None) -> int:
    """Draw, answer, mark, summarize. Returns the exit code.

    ``launch`` says who else takes part; by default the environment does."""
    names = task_list(request.tasks)
    suite = suites.load(request.suite, request.data, request.detector, request.judge)
    folder = request.folder
    launch = launch or Launch.from_environment(os.environ)
    with folder.joined(launch) as seat:
        machine.take_own_accelerator(launch, os.environ)
        if request.settings.exact:
            machine.deterministic_kernels()
        responder = registry.model(request.model, request.options)
        jobs = plan(names, suite, request.settings, request.every_task)
        jobs = _that_it_can(responder, jobs, request.every_task)
        identity = {
            "model": {
                "name": responder.name,
                "fingerprint": responder.fingerprint,
                "settings": dict(responder.settings),
            },
            "suite": suite.name,
            "seed": request.settings.seed,
            # Numbers of one sample alone are not those of a batch: never both in one run.
            **({"exact": True} if request.settings.exact else {}),
        }

        def begin() -> None:
            folder.start(identity, request.fresh)
            folder.update(
                state="running",
                started=folder.manifest.get("started", now()),
                environment=environment(),
                data=str(request.data) if request.data else None,
                detector=request.detector,
                judge=asdict(request.judge),
                batch_size=request.settings.batch_size,
                processes=launch.size,
                device=request.options.device,
            )
            for job in jobs:
                start_job(job, folder)

        team = _together(seat, begin)
        folder.expect(identity)
        return _run_jobs(jobs, responder, suite, folder, team, request.settings)


def _together(seat: Seat, begin: Callable[[], None]) -> Team:
    """The team, once its first process has made the folder ready."""
    if not seat.first:
        return seat.enter_session()
    begin()
    return seat.open_session()


def _that_it_can(responder: Responder, jobs: Sequence[Job], skip: bool) -> list[Job]:
    """The jobs that the model is able to do. Raises UserError for others, unless they may go."""
    able = []
    for job in jobs:
        if not (lack := unable(responder, job.samples)):
            able.append(job)
        elif skip:
            Progress(job.name).say(f"left out: {responder.name} cannot {lack}")
        else:
            raise UserError(f"task {job.name!r} asks for what {responder.name} cannot do: {lack}")
    if not able:
        raise UserError(f"{responder.name} can do none of the tasks")
    return able


def _run_jobs(
    jobs: Sequence[Job],
    responder: Responder | None,
    suite: Suite,
    folder: RunFolder,
    team: Team,
    settings: RunSettings,
) -> int:
    for job in jobs:
        run_job(
            job,
            responder,
            suite,
            folder,
            settings.batch_size,
            Progress(job.name),
            team,
            settings.exact,
        )
    for _ in team.shares(["end"]):
        code = _finish(jobs, folder)
        team.finish("end", code)
        team.wait_for_all()
        return code
    return int(team.result("end"))


def _finish(jobs: Sequence[Job], folder: RunFolder) -> int:
    """By one process: the tables, and what there is to say at the end. Returns the exit code."""
    console = open_console()
    states = folder.manifest["tasks"]
    unmarked = [job.name for job in jobs if states[job.name]["state"] != "done"]
    unscored = sum(states[job.name]["unscored"] for job in jobs if job.name not in unmarked)
    state = f"not marked: {', '.join(unmarked)}" if unmarked else "done"
    folder.update(state=state, finished=now())
    tables.write_tables(folder.path)
    tables.show(folder.path, console)
    path = printable(folder.path)
    say = [f"run folder: {path}"]
    images = [folder.task(job.name).path / "images" for job in jobs]
    say += [f"images: {printable(drawn)}" for drawn in images if drawn.exists()]
    say += tables.bounds(folder.path)
    if unscored:
        say.append(f"{unscored} samples are unscored: TASK/metrics.json counts the reasons")
    if unmarked:
        say.append(
            f"{', '.join(unmarked)} could not be marked; all responses are stored, and "
            f"`python -m harmon_eval mark {path}` goes on from them"
        )
    for line in say:
        console.print(line, soft_wrap=True, highlight=False)
    return 1 if unscored or unmarked else 0


def dry_run(request: Request) -> int:
    """Say what a run would ask; loads no model and writes nothing into the run folder."""
    console = open_console()
    suite = suites.load(request.suite, request.data, request.detector, request.judge)
    folder = request.folder
    before = folder.manifest["tasks"] if folder.exists and not request.fresh else {}
    rows = []
    names = task_list(request.tasks)
    for job in plan(names, suite, request.settings, request.every_task):
        task_folder = folder.task(job.name)
        recorded: Mapping[str, Any] = task_folder.recorded() if job.name in before else {}
        stored, _ = stored_answers(task_folder, recorded, job.samples)
        left = [type(s.request).__name__ for s in job.samples if s.id not in stored]
        seconds = task_folder.seconds_asking() if recorded else 0.0
        rate = seconds / len(recorded) if seconds and recorded else None
        rows.append(
            {
                "task": job.name,
                "samples": len(job.samples),
                "stored": len(stored),
                **{
                    f"to {deed}": left.count(deed.capitalize()) for deed in ("draw", "ask", "embed")
                },
                "about": f"{rate * len(left):.0f} s" if rate is not None else "?",
                **_judging(job, suite, request, stored, task_folder.path),
            }
        )
    tables.print_rows(rows, f"would run into {printable(folder.path)}", console)
    return 0


def _judging(
    job: Job, suite: Suite, request: Request, stored: Stored, folder: Path
) -> dict[str, str]:
    """What is left to ask the judge; a local one is not loaded for that."""
    open_here = request.judge.served or not request.judge.model
    judge = None
    if job.task.judged and open_here:
        with suppress(InstrumentMissing):
            judge = suite.instrument("judge").bound_to(folder)
    found = {s.id: stored.answer(s) for s in job.samples if job.task.judged}
    drawn = {name: answer for name, answer in found.items() if answer is not None}
    plan = planned(job.task, job.samples, drawn, judge)
    unpriced = plan.dollars is None or not request.judge.served
    cost = "" if not plan.requests else "?" if unpriced else f"{plan.dollars:.2f} USD"
    return {
        "to judge": str(plan.requests),
        "tokens in, out": f"{plan.tokens_in:,}, {plan.tokens_out:,}" if plan.requests else "",
        "about, judge": cost,
    }


def mark(
    path: Path,
    names: str | None,
    data: Path | None,
    detector: str | None = None,
    judge: JudgeOptions | None = None,
    budget: float | None = None,
) -> int:
    """Mark and summarize what a run folder holds. Returns the exit code.

    ``data``, ``judge`` and its ``budget`` are by default those of the run."""
    folder = RunFolder(path)
    manifest = folder.manifest
    known: dict[str, Any] = manifest["tasks"]
    judge = judge or JudgeOptions(**manifest.get("judge", {}))
    if budget is not None:
        judge = replace(judge, budget=budget)
    suite = suites.load(
        manifest["identity"]["suite"],
        data or data_of(manifest),
        detector or manifest.get("detector"),
        judge,
    )
    chosen = task_list(names) if names else list(known)
    if unknown := [name for name in chosen if name not in known]:
        raise UserError(f"{path} holds no responses of {unknown[0]!r}: it has {', '.join(known)}")
    jobs = []
    for name in chosen:
        settings = RunSettings(manifest["identity"]["seed"], known[name]["limit"])
        jobs.append(prepare(name, registry.task(name), suite, settings))
    launch = Launch.from_environment(os.environ)
    exact = bool(manifest["identity"].get("exact"))
    with folder.joined(launch) as seat:
        machine.take_own_accelerator(launch, os.environ)
        if exact:
            machine.deterministic_kernels()

        def begin() -> None:
            for job in jobs:
                start_job(job, folder)

        team = _together(seat, begin)
        return _run_jobs(jobs, None, suite, folder, team, RunSettings(exact=exact))


def mark_by_thresholds(
    path: Path, data: Path | None, threshold: float | None, counting: float | None
) -> int:
    """GenEval by other thresholds from the stored detections of a run. Returns the exit code."""
    from harmon_eval.tasks.geneval import thresholds as geneval_thresholds

    folder = RunFolder(path)
    rules = geneval_thresholds.protocol(threshold, counting)
    suite = suites.load(folder.manifest["identity"]["suite"], data or data_of(folder.manifest))
    with folder.locked():
        results = geneval_thresholds.mark_again(folder, suite, rules)
        tables.write_tables(folder.path)
    tables.show(folder.path, open_console())
    return 1 if any(result.unscored for result in results) else 0


def data_of(manifest: Mapping[str, Any]) -> Path | None:
    """The folder that a run was given as ``--data``."""
    return Path(manifest["data"]) if manifest.get("data") else None
