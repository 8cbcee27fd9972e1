"""Ask, store, mark, summarize. Each step can be repeated without the one before it."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import (
    Ask,
    Draw,
    InstrumentMissing,
    Instruments,
    Interval,
    Responder,
    Result,
    Sample,
    Suite,
    Task,
    UserError,
)
from harmon_eval.metrics.floors import constant_reply
from harmon_eval.running.asking import Stored, ask_missing
from harmon_eval.running.marking import (
    MARK_BATCH,
    collect_rows,
    load_instruments,
    mark_key,
    mark_missing,
)
from harmon_eval.running.processes import ALONE, Team
from harmon_eval.running.progress import Progress
from harmon_eval.store.index import HELD, MadeAgain, Numbers, repeated
from harmon_eval.store.run_folder import METRICS, RunFolder, TaskFolder, check_sample_id, write_json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunSettings:
    """``limit`` counts groups (prompts, or images asked about) of a task; None takes all.

    ``exact`` asks and marks one sample at a time, so that no other has a part in its numbers."""

    seed: int = 0
    limit: int | None = None
    batch_size: int = 32
    exact: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit {self.limit}: must be at least 1, or left out for all")
        if self.batch_size < 1:
            raise UserError(f"--batch-size {self.batch_size}: must be at least 1")


@dataclass(frozen=True)
class Job:
    """A task with all its samples, and those of them that this run is about (see ``limit``)."""

    name: str
    task: Task
    everything: Sequence[Sample]
    samples: Sequence[Sample]
    limit: int | None


def sample_seed(run_seed: int, task: str, sample_id: str) -> int:
    """The seed of one sample's own random stream: of nothing but (run seed, task, sample id)."""
    digest = hashlib.sha256(f"{run_seed}/{task}/{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def select(samples: Sequence[Sample], limit: int | None) -> Sequence[Sample]:
    """Samples of ``limit`` groups, taken from the strata in turn, in the order they came.

    Within a stratum groups are taken by the hash of their name: a sample of it that does not
    depend on the order, and that a larger limit only adds to."""
    if limit is None:
        return samples
    strata: dict[str, dict[str, None]] = {}
    for sample in samples:
        strata.setdefault(sample.stratum, {})[sample.group] = None
    queues = [sorted(strata[name], key=_shuffled) for name in sorted(strata)]
    turns = ((name, turn) for turn in range(max(map(len, queues))) for name in range(len(queues)))
    chosen = [queues[name][turn] for name, turn in turns if turn < len(queues[name])][:limit]
    wanted = set(chosen)
    return [sample for sample in samples if sample.group in wanted]


def _shuffled(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def prepare(name: str, task: Task, suite: Suite, settings: RunSettings) -> Job:
    """The task's samples with their seeds. Raises UserError on unsafe or repeated ids."""

    def seeded() -> Iterator[Sample]:
        for sample in task.samples(suite):
            if isinstance(sample.request, Draw | Ask):
                seed = sample_seed(settings.seed, name, sample.id)
                request = replace(sample.request, seed=seed)
                # By the constructor, which takes a third of the time of ``replace``.
                sample = Sample(sample.id, request, sample.target, sample.group, sample.stratum)
            yield sample

    held = list(islice(seeded(), HELD + 1))
    if not held:
        raise UserError(f"task {name!r} has no samples in suite {suite.name!r}")
    make = seeded if len(held) > HELD else held.__iter__

    def checked() -> Iterator[Sample]:
        for sample in make():
            try:
                check_sample_id(sample.id)
            except UserError as error:
                raise UserError(f"task {name!r}: {error}") from None
            yield sample

    count, twice = repeated(checked)
    if twice is not None:
        raise UserError(f"task {name!r} has two samples with the id {twice!r}")
    everything = MadeAgain(make, count) if count > HELD else held
    return Job(name, task, everything, select(everything, settings.limit), settings.limit)


def data_hash(samples: Sequence[Sample]) -> str:
    """Hash of what is asked and of what marks it, of files their names."""
    digest = hashlib.sha256()
    for sample in samples:
        request = {f.name: getattr(sample.request, f.name) for f in fields(sample.request)} | {
            "seed": 0
        }
        content = [sample.id, sample.group, sample.stratum, request, dict(sample.target)]
        digest.update(json.dumps(content, default=_file_name).encode())
    return digest.hexdigest()[:16]


def _file_name(value: object) -> str:
    return value.name if isinstance(value, Path) else repr(value)


# -- summarize -------------------------------------------------------------------------------


def headline(task: Task, metrics: Mapping[str, float]) -> str:
    """The metric that the task's headline means: of that name, or of that name and a "[...]"."""
    begun = (name for name in metrics if name.startswith(f"{task.headline}[") and name[-1] == "]")
    return task.headline if task.headline in metrics else next(begun, task.headline)


def summarize(job: Job, rows: pd.DataFrame, provenance: Mapping[str, Any]) -> Result:
    """Metrics with intervals over the scored rows; the total is what a full run would have.

    Raises UserError where the task says that these rows cannot be added up."""
    from harmon_eval.metrics.statistics import bootstrap_intervals

    # Unscored rows make a column of verdicts one of objects; without them it is what it was.
    scored = rows[rows["unscored"].isna()].reset_index(drop=True).infer_objects()
    reasons = Counter(str(reason) for reason in rows["unscored"].dropna())
    metrics: dict[str, float] = {}
    intervals = {}
    if len(scored):
        metrics = job.task.summarize(scored)
        intervals = (job.task.intervals or bootstrap_intervals)(scored, job.task.summarize)
    total = len(job.everything)
    bounds = score_bounds(job, rows, scored) if reasons else None
    floor = constant_reply(job.task, job.samples, headline(job.task, metrics)) if metrics else None
    return Result(
        job.name, metrics, intervals, len(scored), total, reasons, provenance, rows, bounds, floor
    )


def score_bounds(job: Job, rows: pd.DataFrame, scored: pd.DataFrame) -> Interval | None:
    """The headline if all unscored samples were wrong, and if all were right.

    None for a task that does not say what their rows would be (see ``Task.assume``)."""
    import pandas as pd

    if job.task.assume is None:
        return None
    unscored = set(rows.loc[rows["unscored"].notna(), "id"])
    samples = [sample for sample in job.samples if sample.id in unscored]
    if not samples:
        return None
    ends = []
    for right in (False, True):
        assumed = [
            {"id": s.id, "group": s.group, "stratum": s.stratum, **job.task.assume(s, right)}
            for s in samples
        ]
        parts = [part for part in (scored, pd.DataFrame(assumed)) if len(part)]
        whole = pd.concat(parts, ignore_index=True).infer_objects()
        metrics = job.task.summarize(whole)
        ends.append(float(metrics.get(headline(job.task, metrics), math.nan)))
    # A part of a benchmark may be too little for its headline, whatever the marks.
    return None if any(map(math.isnan, ends)) else (min(ends), max(ends))


def _scored_groups(result: Result) -> int:
    """How many independent groups the intervals rest on."""
    if result.rows is None:
        return 0
    return int(result.rows.loc[result.rows["unscored"].isna(), "group"].nunique())


def store_result(folder: TaskFolder, task: Task, result: Result) -> None:
    def finite(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    write_json(
        folder.path / METRICS,
        {
            "task": result.task,
            "headline": headline(task, result.metrics),
            "higher_is_better": task.higher_is_better,
            "paper": task.paper,
            "metrics": {name: finite(value) for name, value in result.metrics.items()},
            "intervals": {
                name: [finite(low), finite(high)] for name, (low, high) in result.intervals.items()
            },
            "n": result.n,
            "groups": _scored_groups(result),
            "total": result.total,
            "unscored": dict(result.unscored),
            **({"bounds": [finite(end) for end in result.bounds]} if result.bounds else {}),
            **(
                {"floor": {"reply": result.floor.reply, "score": finite(result.floor.score)}}
                if result.floor
                else {}
            ),
            "provenance": dict(result.provenance),
        },
    )


# -- all of it -------------------------------------------------------------------------------


def run_job(
    job: Job,
    responder: Responder | None,
    suite: Suite,
    run: RunFolder,
    batch_size: int,
    progress: Progress,
    team: Team = ALONE,
    exact: bool = False,
) -> Result | None:
    """Run one task; without a responder only mark what is stored.

    None: it could not be marked, or another process of the team adds it up. Says why, and leaves
    the responses for ``mark`` to go on with."""
    if not team.begun:
        start_job(job, run)
    folder = run.task(job.name, team.rank)
    checked: Stored | None = None
    if responder is not None:
        size = 1 if exact else batch_size
        checked = ask_missing(responder, folder, job.samples, size, progress, team)
    outcome = f"{folder.path.name}.result"
    if job.task.exports:
        folder.export(job.task.exports(job.samples, None))
    try:
        instruments = load_instruments(job.task, suite, folder)
        size = 1 if exact else MARK_BATCH
        stamps = mark_missing(
            job.task, instruments, folder, job.samples, checked, progress, team, size
        )
        for _ in team.shares([outcome]):
            result = add_up(job, instruments, folder, run, stamps)
            team.finish(outcome, {"unscored": sum(result.unscored.values())})
            return result
    except UserError as error:
        progress.say(str(error))
        for _ in team.shares([outcome]):
            missing = isinstance(error, InstrumentMissing)
            state = f"{'asked, not marked' if missing else 'marked'}: {error}"
            run.update_task(job.name, state=state)
            team.finish(outcome, {"unscored": None})
    return None


def start_job(job: Job, run: RunFolder) -> None:
    """Raises UserError where the folder holds other data of the task, or a larger run."""
    run.start_task(job.name, job.task.version, data_hash(job.everything), job.limit)


def add_up(
    job: Job,
    instruments: Instruments,
    folder: TaskFolder,
    run: RunFolder,
    stamps: Numbers,
) -> Result:
    """Collect the rows, summarize and store. Raises UserError where the task refuses to."""
    seconds = round(folder.seconds_asking(), 3)
    run.update_task(job.name, state="asked", seconds_asking=seconds)
    rows = collect_rows(job.task, instruments, folder, job.samples, stamps)
    provenance = {
        **run.manifest["identity"],
        "limit": job.limit,
        "data": run.manifest["tasks"][job.name]["data"],
        **mark_key(job.task, instruments),
    }
    result = summarize(job, rows, provenance)
    if job.task.exports and result.n:
        folder.export(job.task.exports(job.samples, rows[rows["unscored"].isna()]))
    store_result(folder, job.task, result)
    unscored = sum(result.unscored.values())
    run.update_task(job.name, state="done", n=result.n, unscored=unscored)
    return result
