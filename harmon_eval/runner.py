"""Ask, store, mark, summarize. Each step can be repeated without the one before it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from harmon_eval.core import (
    Answer,
    Ask,
    Draw,
    InstrumentMissing,
    Responder,
    Result,
    Row,
    Sample,
    Suite,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.store import METRICS, ROWS, TaskFolder, check_sample_id, in_order, write_json

if TYPE_CHECKING:
    import pandas as pd

    from harmon_eval.progress import Progress

T = TypeVar("T")
MARK_BATCH = 128
# What a model or an instrument may raise about one sample without ending the run.
SAMPLE_FAILURES = (RuntimeError, ValueError, ArithmeticError, LookupError, Unscorable)


@dataclass(frozen=True)
class RunSettings:
    seed: int = 0
    limit: int | None = None
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit {self.limit}: give at least 1 sample, or leave it out for all")
        if self.batch_size < 1:
            raise UserError(f"--batch-size {self.batch_size}: must be at least 1")


def sample_seed(run_seed: int, task: str, sample_id: str) -> int:
    """The seed of one sample's own random stream: of nothing but (run seed, task, sample id)."""
    digest = hashlib.sha256(f"{run_seed}/{task}/{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") & (2**63 - 1)


def select(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """The first ``limit`` samples or a few more: whole groups, taken from the strata in turn."""
    if limit is None or limit >= len(samples):
        return list(samples)
    strata: dict[str, dict[str, list[Sample]]] = {}
    for sample in samples:
        strata.setdefault(sample.stratum, {}).setdefault(sample.group, []).append(sample)
    queues = [list(groups.values()) for groups in strata.values()]
    chosen: list[Sample] = []
    for turn in range(max(len(queue) for queue in queues)):
        for queue in queues:
            if turn < len(queue) and len(chosen) < limit:
                chosen += queue[turn]
    wanted = {sample.id for sample in chosen}
    return [sample for sample in samples if sample.id in wanted]


def prepare(name: str, task: Task, suite: Suite, seed: int) -> list[Sample]:
    """All samples with their seeds. Raises UserError on unsafe or repeated ids."""
    prepared = []
    seen: set[str] = set()
    for sample in task.samples(suite):
        check_sample_id(sample.id)
        if sample.id in seen:
            raise UserError(f"task {name!r} has two samples with the id {sample.id!r}")
        seen.add(sample.id)
        if isinstance(sample.request, Draw | Ask):
            request = replace(sample.request, seed=sample_seed(seed, name, sample.id))
            sample = replace(sample, request=request)
        prepared.append(sample)
    if not prepared:
        raise UserError(f"task {name!r} has no samples in suite {suite.name!r}")
    return prepared


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


# -- ask -------------------------------------------------------------------------------------


def stored_answers(folder: TaskFolder, samples: Sequence[Sample]) -> tuple[dict[str, Answer], int]:
    """Sound stored responses by sample id, and how many were found damaged."""
    recorded = folder.recorded()
    answers, damaged = {}, 0
    for sample in samples:
        if (entry := recorded.get(sample.id)) is None:
            continue
        answer = folder.answer(sample, entry)
        if answer is not None:
            answers[sample.id] = answer
        elif "error" not in entry:
            damaged += 1
    return answers, damaged


def respond(responder: Responder, samples: Sequence[Sample]) -> dict[str, Any]:
    """Responses by sample id; a batch that fails is asked again one by one to find the culprit."""
    try:
        responses = _ask(responder, samples)
    except SAMPLE_FAILURES as error:
        if len(samples) == 1:
            return {samples[0].id: error}
        return {k: v for sample in samples for k, v in respond(responder, [sample]).items()}
    if len(responses) != len(samples):
        raise UserError(f"{responder.name} gave {len(responses)} answers to {len(samples)} requests")
    return {sample.id: r for sample, r in zip(samples, responses, strict=True)}


def _ask(responder: Responder, samples: Sequence[Sample]) -> Sequence[Any]:
    kind = type(samples[0].request)
    method: Callable[..., Sequence[Any]] = {Draw: responder.draw, Ask: responder.ask}.get(
        kind, responder.embed
    )
    return method([sample.request for sample in samples])


def ask_missing(
    responder: Responder,
    folder: TaskFolder,
    samples: Sequence[Sample],
    batch_size: int,
    progress: Progress,
) -> None:
    """Ask what is not stored yet; each batch is on disk before the next one is asked."""
    answers, damaged = stored_answers(folder, samples)
    missing = [sample for sample in samples if sample.id not in answers]
    if damaged:
        progress.say(f"{damaged} stored responses were damaged and are made again")
    if answers:
        progress.say(f"reused {len(answers)} of {len(samples)} stored responses")
    verb = "drawing" if isinstance(samples[0].request, Draw) else "asking"
    with progress.bar(verb, len(missing)) as advance:
        for kind in (Draw, Ask, object):
            of_kind = [s for s in missing if _kind(s) is kind]
            for batch in batches(of_kind, batch_size):
                folder.record(respond(responder, batch))
                advance(len(batch))


def _kind(sample: Sample) -> type:
    return type(sample.request) if isinstance(sample.request, Draw | Ask) else object


# -- mark ------------------------------------------------------------------------------------


def mark_key(task: Task, instruments: Mapping[str, Any]) -> dict[str, Any]:
    """What marks depend on besides the response: other versions or instruments mark again."""
    identities = {name: instrument.identity for name, instrument in instruments.items()}
    return {"version": task.version, "instruments": identities}


def mark_missing(
    task: Task,
    suite: Suite,
    folder: TaskFolder,
    samples: Sequence[Sample],
    progress: Progress,
) -> pd.DataFrame:
    """Rows of all samples in order; those without a mark carry the reason in ``unscored``.

    Raises InstrumentMissing before anything is marked."""
    import pandas as pd

    instruments = {name: suite.instrument(name) for name in task.instruments}
    answers, _ = stored_answers(folder, samples)
    recorded = folder.recorded()
    stamp = {i: _stamp(recorded[i]) for i in answers}
    marked = folder.marks(mark_key(task, instruments))
    if marked is not None:
        sound = marked["unscored"].isna() & (marked["response"] == marked["id"].map(stamp))
        marked = marked[sound]
    done = set() if marked is None else set(marked["id"])
    missing = [answers[s.id] for s in samples if s.id in answers and s.id not in done]
    parts = [] if marked is None else [marked]
    with progress.bar("marking", len(missing)) as advance:
        for batch in batches(missing, MARK_BATCH):
            rows = mark_batch(task, instruments, batch)
            frame = pd.DataFrame(_described(batch, rows, stamp))
            folder.add_marks(frame)
            parts.append(frame)
            advance(len(batch))
    unanswered = [s for s in samples if s.id not in answers]
    if unanswered:
        parts.append(pd.DataFrame([_unanswered(s, recorded.get(s.id)) for s in unanswered]))
    rows = in_order(pd.concat(parts, ignore_index=True), samples)
    folder.finish_marks(rows)
    return rows


def _stamp(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(entry), sort_keys=True).encode()).hexdigest()[:16]


def _described(
    answers: Sequence[Answer], rows: Sequence[Row], stamp: Mapping[str, str]
) -> list[Row]:
    return [
        {
            "id": answer.sample.id,
            "group": answer.sample.group,
            "stratum": answer.sample.stratum,
            "response": stamp[answer.sample.id],
            "unscored": None,
            **row,
        }
        for answer, row in zip(answers, rows, strict=True)
    ]


def _unanswered(sample: Sample, entry: Mapping[str, Any] | None) -> Row:
    reason = entry["error"] if entry and "error" in entry else "no response"
    return {
        "id": sample.id,
        "group": sample.group,
        "stratum": sample.stratum,
        "response": "",
        "unscored": reason,
    }


def mark_batch(
    task: Task, instruments: Mapping[str, Any], answers: Sequence[Answer]
) -> Sequence[Row]:
    """Rows in the order of the answers; an answer that cannot be marked does not spoil the others."""
    try:
        return task.mark(answers, instruments)
    except SAMPLE_FAILURES as error:
        if len(answers) == 1:
            return [{"unscored": str(error) or type(error).__name__}]
        return [row for answer in answers for row in mark_batch(task, instruments, [answer])]


# -- summarize -------------------------------------------------------------------------------


def summarize(
    name: str, task: Task, rows: pd.DataFrame, total: int, provenance: Mapping[str, Any]
) -> Result:
    """Metrics with intervals over the scored rows; ``total`` is what a full run would have."""
    from harmon_eval.statistics import bootstrap_intervals

    scored = rows[rows["unscored"].isna()].reset_index(drop=True)
    reasons = Counter(str(reason) for reason in rows["unscored"].dropna())
    metrics: dict[str, float] = {}
    intervals = {}
    if len(scored):
        metrics = task.summarize(scored)
        intervals = (task.intervals or bootstrap_intervals)(scored, task.summarize)
    return Result(name, metrics, intervals, len(scored), total, reasons, provenance, rows)


def store_result(folder: TaskFolder, task: Task, result: Result) -> None:
    write_json(
        folder.path / METRICS,
        {
            "task": result.task,
            "headline": task.headline,
            "higher_is_better": task.higher_is_better,
            "paper": task.paper,
            "metrics": dict(result.metrics),
            "intervals": {name: list(interval) for name, interval in result.intervals.items()},
            "n": result.n,
            "total": result.total,
            "unscored": dict(result.unscored),
            "provenance": dict(result.provenance),
        },
    )


# -- all of it -------------------------------------------------------------------------------


def run_task(
    name: str,
    task: Task,
    responder: Responder | None,
    suite: Suite,
    folder: TaskFolder,
    settings: RunSettings,
    progress: Progress,
) -> Result | None:
    """Run one task; without a responder only mark what is stored. None: an instrument is missing."""
    everything = prepare(name, task, suite, settings.seed)
    samples = select(everything, settings.limit)
    if responder is not None:
        ask_missing(responder, folder, samples, settings.batch_size, progress)
    if task.exports:
        folder.export(task.exports(samples, None))
    try:
        rows = mark_missing(task, suite, folder, samples, progress)
    except InstrumentMissing as missing:
        progress.say(f"{name}: {missing}")
        return None
    provenance = {
        **mark_key(task, {n: suite.instrument(n) for n in task.instruments}),
        "suite": suite.name,
        "data": data_hash(samples),
        "settings": asdict(settings),
    }
    result = summarize(name, task, rows, len(everything), provenance)
    if task.exports:
        folder.export(task.exports(samples, rows[rows["unscored"].isna()]))
    store_result(folder, task, result)
    return result


def data_hash(samples: Sequence[Sample]) -> str:
    """Hash of what is asked and what marks it."""
    digest = hashlib.sha256()
    for sample in samples:
        request = replace(sample.request, seed=0) if _kind(sample) is not object else sample.request
        text = json.dumps([sample.id, repr(request), dict(sample.target)], default=str)
        digest.update(text.encode())
    return digest.hexdigest()[:16]


__all__ = ["ROWS", "RunSettings", "run_task", "sample_seed", "select"]
