"""Ask, store, mark, summarize. Each step can be repeated without the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harmon_eval.core import InstrumentMissing, Responder, Result, Sample, UserError
from harmon_eval.running.asking import Answered, Stored, ask_missing
from harmon_eval.running.engine import Engine, Local, Work
from harmon_eval.running.jobs import Job, data_hash
from harmon_eval.running.marking import MARK_BATCH, collect_rows, mark_missing
from harmon_eval.running.progress import Progress
from harmon_eval.running.results import store_result, summarize
from harmon_eval.running.work import Asking, Facts, Marking, MarkingByName
from harmon_eval.store.index import Numbers
from harmon_eval.store.run_folder import RunFolder, TaskFolder
from harmon_eval.suites import Suite


def run_job(
    job: Job,
    responder: Responder | None,
    suite: Suite,
    run: RunFolder,
    batch_size: int,
    progress: Progress,
) -> Result | None:
    """Start one task and run it in this process, as ``go_on`` does."""
    start_job(job, run)
    asking = Asking(responder) if responder is not None else None
    return go_on(job, asking, suite, run, batch_size, progress, Local())


def go_on(
    job: Job,
    asking: Work[Sample, Answered] | None,
    suite: Suite,
    run: RunFolder,
    batch_size: int,
    progress: Progress,
    engine: Engine,
    exact: bool = False,
) -> Result | None:
    """Run one task that was started; without ``asking`` only mark what is stored.

    None: it could not be marked. Says why, and leaves the responses for ``mark`` to continue
    with."""
    folder = run.task(job.name)
    checked: Stored | None = None
    if asking is not None:
        size = 1 if exact else batch_size
        checked = ask_missing(job.task, asking, engine, folder, job.samples, size, progress)
    if job.task.files_before:
        folder.export(job.task.files_before(job.samples))
    size = 1 if exact else MARK_BATCH
    try:
        marking, marker, facts = _marker(job, suite, folder, engine)
        stamps = mark_missing(
            job.task, marking, marker, facts.key, folder, job.samples, checked, progress, size
        )
        return add_up(job, facts.key, folder, run, stamps)
    except UserError as error:
        progress.say(str(error))
        missing = isinstance(error, InstrumentMissing)
        state = f"{'asked, not marked' if missing else 'marked'}: {error}"
        run.update_task(job.name, state=state)
    return None


def _marker(
    job: Job, suite: Suite, folder: TaskFolder, engine: Engine
) -> tuple[Marking | MarkingByName, Engine, Facts]:
    """How the task is marked, and by whom: instruments that keep something in the run folder, as a
    judge its replies, work where that is written."""
    if engine.remote:
        work = MarkingByName.of(job.name, job.task if job.nameless else None, suite)
        facts: Facts = engine.facts(work)
        if not facts.kept:
            return work, engine, facts
    here, local = Marking(job.task, suite, folder), Local()
    return here, local, local.facts(here)


def start_job(job: Job, run: RunFolder) -> None:
    """Raises UserError where the folder holds other data of the task, or a larger run."""
    run.start_task(job.name, job.task.version, data_hash(job.everything), job.limit)


def add_up(
    job: Job, key: Mapping[str, Any], folder: TaskFolder, run: RunFolder, stamps: Numbers
) -> Result:
    """Collect the rows, summarize and store. Raises UserError where the task refuses to."""
    seconds = round(folder.seconds_asking(), 3)
    run.update_task(job.name, state="asked", seconds_asking=seconds)
    rows = collect_rows(key, folder, job.samples, stamps)
    provenance = {
        **run.manifest["identity"],
        "limit": job.limit,
        "data": run.manifest["tasks"][job.name]["data"],
        **key,
    }
    result = summarize(job, rows, provenance)
    if job.task.files_after and result.n:
        folder.export(job.task.files_after(job.samples, rows[rows["unscored"].isna()]))
    store_result(folder, job.task, result)
    unscored = sum(result.unscored.values())
    run.update_task(job.name, state="done", n=result.n, unscored=unscored)
    return result
