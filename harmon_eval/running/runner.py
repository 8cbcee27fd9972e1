"""Ask, store, mark, summarize. Each step can be repeated without the one before it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harmon_eval.core import InstrumentMissing, Responder, Result, Sample, Task, UserError
from harmon_eval.metrics.columns import reads, texts
from harmon_eval.metrics.text import counted, estimate, number, same_reasons
from harmon_eval.running.asking import Answered, Stored, ask_missing
from harmon_eval.running.collecting import collect_rows
from harmon_eval.running.engine import Engine, Local, Work
from harmon_eval.running.jobs import Job, data_of_job
from harmon_eval.running.marking import MARK_BATCH, mark_missing
from harmon_eval.running.progress import Progress
from harmon_eval.running.results import store_result, summarize
from harmon_eval.running.work import Asking, Facts, Marking, MarkingByName
from harmon_eval.store.log import log_entries
from harmon_eval.store.paths import UnsafePath
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.task_folder import TaskFolder
from harmon_eval.suites import Suite

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

REASONS = 3  # that are said; the table of rows has them all
ASKED = "asked, to be marked"  # the state of a task whose responses are stored, and no more


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
    predict_only: bool = False,
) -> Result | None:
    """Run one task that was started; without ``asking`` only mark what is stored.

    None: it could or should not be marked. Says why, and leaves the responses for ``mark`` to
    continue with."""
    folder = run.task(job.name)
    checked: Stored | None = None
    if asking is not None:
        size = 1 if exact else batch_size
        asker = engine
        if isinstance(asking, Asking):  # a model of this process
            asker = Local()
            asking.responder.expect(job.name, job.task, job.samples)
        checked = ask_missing(job.task, asking, asker, folder, job.samples, size, progress)
    if job.task.files_before:
        folder.export(job.task.files_before(job.samples))
    if predict_only:
        run.update_task(job.name, state=ASKED, unscored=_without_response(job, folder))
        return None
    size = 1 if exact else MARK_BATCH
    try:
        marking, marker, facts = _marker(job, suite, folder, engine)
        stamps = mark_missing(
            job.task, marking, marker, facts.key, folder, job.samples, checked, progress, size
        )
        collect_rows(facts.key, folder, job.samples, stamps)
        del checked, stamps  # many bytes, which adding up does not need
        result = add_up(job, facts.key, folder, run)
        progress.say(scored(result))
        say_unscored(result, progress)
        say_no_headline(job.task, result, progress)
        say_several_models(result, progress)
        say_aspects(folder, progress)
        return result
    except UnsafePath:
        raise  # nothing more is done with a folder that leads elsewhere
    except UserError as error:
        progress.warn(str(error))
        missing = isinstance(error, InstrumentMissing)
        state = f"{'asked, not marked' if missing else 'marked'}: {error}"
        run.update_task(job.name, state=state)
    return None


def _marker(
    job: Job, suite: Suite, folder: TaskFolder, engine: Engine
) -> tuple[Marking | MarkingByName, Engine, Facts]:
    """How the task is marked, and by whom: some instruments work only where the run is written."""
    if engine.remote:
        work = MarkingByName.of(job, suite, folder)
        facts: Facts = engine.facts(work)
        if not facts.at_writer:
            return work, engine, facts
    here, local = Marking(job.task, suite, folder, engine), Local()
    return here, local, local.facts(here)


def _without_response(job: Job, folder: TaskFolder) -> int:
    recorded = folder.recorded()
    return sum("error" in recorded.get(s.id, {"error": "no response"}) for s in job.samples)


def start_job(job: Job, run: RunFolder) -> None:
    """Raises UserError where the folder holds other data of the task, or a larger run."""
    run.start_task(job.name, job.task.version, data_of_job(job), job.limit)
    run.task(job.name).keep_held(job.held)


def answered_by(folder: TaskFolder) -> dict[str, list[str]]:
    """The names under which servers say that their models answered and judged."""
    entries = (entry for log in folder.logs() for _, entry in log_entries(log, folder.root))
    named = {str(e["model"]) for e in entries if e.get("model") and "reply" in e}
    judges = set(folder.column("judge_as_returned"))
    found = {"answered_by": sorted(named), "judged_by": sorted(judges - {""})}
    return {role: models for role, models in found.items() if models}


def scored(result: Result) -> str:
    """The headline in one line, with its interval, its floors and how many samples it counts."""
    low, high = result.interval or (None, None)
    told = [f"{result.headline} {estimate(result.score, low, high)}"]
    if result.floor and math.isfinite(result.floor.score):
        told.append(f"floor {number(result.floor.score, result.score, low, high)}")
    of = result.floors.get(result.headline, {})
    told += [f"{name} {number(value, result.score, low, high)}" for name, value in of.items()]
    told.append(f"n {result.counted:,} of {result.total:,}")
    return ", ".join(told)


def say_no_headline(task: Task, result: Result, progress: Progress) -> None:
    """Where the task's own headline could not be computed, and what stands in for it."""
    known = math.isfinite(result.metrics.get(result.headline, math.nan))
    if not result.n or (known and task.main.names(result.headline)):
        return
    told = f"{task.headline} cannot be computed from {counted(result.n, 'sample')}"
    if known:
        told += f": the headline is {result.headline}"
    # Of a comparison of two sets, which of them is too small.
    counts = [
        f"{metric.name} {result.metrics[metric.name]:,.0f}"
        for metric in task.metrics
        if metric.is_count and metric.name in result.metrics
    ]
    progress.say(told + (f" ({', '.join(counts)})" if counts else ""))


def say_unscored(result: Result, progress: Progress) -> None:
    """How many samples have no score, and why, the most frequent reasons first."""
    if not (count := sum(result.unscored.values())):
        return
    frequent = list(same_reasons(result.unscored).items())
    reasons = [f"{number} x {reason[:300]}" for reason, number in frequent[:REASONS]]
    if len(frequent) > REASONS:
        reasons.append(f"{len(frequent) - REASONS} other reasons (rows.parquet)")
    progress.warn(f"{count:,} of {count + result.n:,} samples are unscored: {'; '.join(reasons)}")


def say_several_models(result: Result, progress: Progress) -> None:
    """A server may change the model behind a name while a run asks it."""
    for role in ("answered_by", "judged_by"):
        if len(models := result.provenance.get(role, ())) > 1:
            progress.say(f"{role.replace('_', ' ')} {len(models)} models: {', '.join(models)}")


def say_aspects(folder: TaskFolder, progress: Progress) -> None:
    """How many edited images have the aspect ratio of their source."""
    kept = Counter(map(bool, folder.column("aspect_kept")))
    if kept[False]:
        told = f"{kept[True]:,} of {kept.total():,} results"
        progress.say(f"{told} keep the aspect ratio of their source")


def add_up(job: Job, key: Mapping[str, Any], folder: TaskFolder, run: RunFolder) -> Result:
    """Summarize the collected rows and store. Raises UserError where the task refuses to.

    The rows stay in the folder, from where the result reads them."""
    seconds = round(folder.seconds_asking(), 3)
    run.update_task(job.name, state="asked", seconds_asking=seconds)
    provenance = {
        **run.manifest["identity"],
        "limit": job.limit,
        "data": run.manifest["tasks"][job.name]["data"],
        **key,
    }
    named = answered_by(folder)
    run.update_task(job.name, **named)
    result = _summarized(job, folder, provenance | named)
    if job.task.files_after and result.n:
        rows = _there(folder.rows())
        folder.export(job.task.files_after(job.samples, rows[rows["unscored"].isna()]))
    store_result(folder, job.task, result)
    unscored = sum(result.unscored.values())
    run.update_task(job.name, state="done", n=result.n, unscored=unscored)
    return replace(result, read=folder.rows)


def _summarized(job: Job, folder: TaskFolder, provenance: Mapping[str, Any]) -> Result:
    """From the columns that the task names, which may be few of many. Ids tell which samples are
    unscored and which images were drawn from one prompt, and are read for nothing else."""
    read, named = reads(job.task, once=True), texts(job.task, once=True)
    drawn = any(kind.gives == "image" for kind in job.kinds.values())
    by_id = drawn or any(True for _ in folder.column("unscored"))

    def wanted(field: pa.Field) -> bool:
        return read(field.name) or (by_id and field.name == "id")

    return summarize(job, _there(folder.rows_to_add(wanted, named)), provenance)


def _there(rows: pd.DataFrame | None) -> pd.DataFrame:
    assert rows is not None  # they were written just now
    return rows
