"""From marks to a result: metrics with intervals, counts, bounds and the baseline floor."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harmon_eval.core import Count, Floor, Interval, Result, Scores, Task, UserError
from harmon_eval.metrics.floors import (
    LEAST,
    MOST,
    at_end,
    constant_reply,
    if_marked,
    of_trivial_models,
)
from harmon_eval.metrics.groups import count as group_count
from harmon_eval.metrics.intervals import Repeats, census, counts, seed_intervals
from harmon_eval.metrics.intervals import intervals as intervals_of
from harmon_eval.running.faults import check_metrics, of_task
from harmon_eval.running.jobs import Job
from harmon_eval.store.durable import write_json
from harmon_eval.store.task_folder import METRICS, TaskFolder

if TYPE_CHECKING:
    import pandas as pd


def headline(task: Task, metrics: Mapping[str, float]) -> str:
    """The metric that the task's headline means, whose name may also hold the protocol; where it
    is not there, the one that stands in for it."""
    chosen = (task.main, *(metric for metric in task.metrics if metric.fallback))
    found = (name for metric in chosen for name in metrics if metric.names(name))
    return next(found, task.headline)


def summarize(job: Job, rows: pd.DataFrame, provenance: Mapping[str, Any]) -> Result:
    """Metrics with intervals over the scored rows; the total is what a full run would have.

    Raises UserError where the task says that these rows cannot be added up."""
    # Unscored rows make a column of verdicts one of objects; without them it is what it was.
    marked = rows["unscored"].isna()
    scored = (rows if marked.all() else rows[marked]).reset_index(drop=True).infer_objects()
    reasons = Counter(str(reason) for reason in rows["unscored"].dropna())
    metrics: dict[str, float] = {}
    if len(scored):
        with of_task(job.name, "summarize"):
            metrics = check_metrics(job.name, job.task.summarize(scored))
    main = headline(job.task, metrics)
    repeats = Repeats(_drawings(job), _census_strata(job, len(scored)))
    ends = assumed(job, rows)
    own = counts(job.task, scored, metrics)
    more = _would_count(job, ends, sum(reasons.values()), metrics)
    return Result(
        task=job.name,
        headline=main,
        metrics=metrics,
        intervals=intervals_of(job.task, scored, repeats=repeats) if len(scored) else {},
        n=len(scored),
        total=len(job.everything),
        unscored=reasons,
        counts={name: replace(count, unscored=more[name]) for name, count in own.items()},
        provenance=provenance,
        read=lambda: rows,
        bounds=score_bounds(job, ends, scored),
        floor=constant_reply(job.task, job.samples, main) if metrics else None,
        floors=of_trivial_models(job.task, scored) if job.task.floors else {},
        seed_intervals=seed_intervals(job.task, scored, repeats) if len(scored) else {},
        census=census(job.task, scored, repeats) if len(scored) else (),
        census_strata=tuple(repeats.census),
        missing=_missing(job, scored),
    )


def _missing(job: Job, scored: pd.DataFrame) -> tuple[str, ...]:
    """The strata of the task of which nothing is scored; nothing at all is no gap."""
    if not len(scored) or len(scored) == len(job.everything):
        return ()
    there = set(map(str, scored["stratum"].unique()))
    strata = dict.fromkeys(sample.stratum for sample in job.everything)
    return tuple(name for name in strata if name and name not in there)


def _drawings(job: Job) -> dict[str, str]:
    """What each sample that gives an image draws: samples of a group that draw the same differ in
    nothing but their seeds."""
    if all(kind.gives != "image" for kind in job.kinds.values()):
        return {}
    return {
        sample.id: f"{sample.request.verb} {sample.request.text}"
        for sample in job.samples
        if sample.request.gives == "image"
    }


def _census_strata(job: Job, scored: int) -> tuple[str, ...]:
    """The strata that hold every prompt there is, and of which only the seeds are left to chance.

    None unless every sample is scored. A stratum is left out if any sample of it is no drawing, or
    is drawn after another one; so is every stratum of a task that marks a group as a whole. There
    a prompt's samples depend on each other."""
    task = job.task
    if task.census is None or task.whole_groups or scored != len(job.everything):
        return ()
    named = task.census(job.everything)
    dependent = {s.stratum for s in job.everything if s.after or s.request.gives != "image"}
    return tuple(name for name in named if name not in dependent)


Ends = tuple["pd.DataFrame", "pd.DataFrame"]


def assumed(job: Job, rows: pd.DataFrame) -> Ends | None:
    """The rows of the unscored samples if they were all wrong, and if they were all right.

    None for a task that does not say what these would be (see ``Task.bounds``)."""
    import pandas as pd

    unscored = rows[rows["unscored"].notna()]
    # Their groups are those of the rows, which may be numbers.
    groups = dict(zip(unscored["id"], unscored["group"], strict=True)) if len(unscored) else {}
    samples = [sample for sample in job.samples if sample.id in groups] if groups else []
    if samples and job.task.bounds is None:
        return None
    wrong, right = (
        pd.DataFrame([{**if_marked(job.task, s, end), "group": groups[s.id]} for s in samples])
        for end in (False, True)
    )
    return wrong, right


def _would_count(
    job: Job, ends: Ends | None, unscored: int, metrics: Iterable[str]
) -> dict[str, int]:
    """How many unscored samples each metric would count: those whose assumed rows it counts. All
    of the task, where its rows tell nothing without marks."""

    def count(name: str) -> int:
        which = job.task.metric(name).rows
        if which is None or ends is None or not unscored:
            return unscored
        try:
            found = [which(rows, name).to_numpy(bool) for rows in ends]
        except KeyError:  # a column that only marks have
            return unscored
        return int((found[0] | found[1]).sum())

    return {name: count(name) for name in metrics}


def score_bounds(job: Job, ends: Ends | None, scored: pd.DataFrame) -> Interval | None:
    """The headline metric of the ``scored`` rows if all unscored samples were wrong, and if all
    were right. A mark of which only the ends are known (columns ``least:NAME`` and ``most:NAME``)
    is at one of them.

    ``ends``: from ``assumed``. None where that is not known, and where everything is."""
    import pandas as pd

    partly = any(str(column).startswith((LEAST, MOST)) for column in scored)
    if ends is None or not (len(ends[0]) or partly):
        return None
    found = []
    for rows, end in zip(ends, (LEAST, MOST), strict=True):
        parts = [part for part in (at_end(scored, end), rows) if len(part)]
        whole = pd.concat(parts, ignore_index=True).infer_objects()
        metrics = job.task.summarize(whole)
        found.append(float(metrics.get(headline(job.task, metrics), math.nan)))
    # A part of a benchmark may be too little for its headline, whatever the marks.
    return None if any(map(math.isnan, found)) else (min(found), max(found))


def store_result(folder: TaskFolder, task: Task, result: Result) -> None:
    """Write ``metrics.json``."""
    write_json(folder.path / METRICS, as_json(task, result), folder.root)


def as_json(task: Task, result: Result) -> dict[str, Any]:
    """A result as it is stored: numbers that are not finite are null."""
    groups = 0
    if (rows := result.rows) is not None:
        groups = group_count(rows["group"][rows["unscored"].isna()])
    stored: dict[str, Any] = {
        "task": result.task,
        "headline": result.headline,
        "higher_is_better": task.higher_is_better,
        "paper": task.about.paper,
        "metrics": {name: _finite(value) for name, value in result.metrics.items()},
        "intervals": _spans(result.intervals),
        "n": result.n,
        "groups": groups,
        "total": result.total,
        "counts": {name: [count.n, count.groups] for name, count in result.counts.items()},
        "unscored": dict(result.unscored),
        "unscored_counts": {name: count.unscored for name, count in result.counts.items()},
    }
    if result.seed_intervals:
        stored["seed_intervals"] = _spans(result.seed_intervals)
    if result.census:
        stored["census"] = list(result.census)
    if result.census_strata:
        stored["census_strata"] = list(result.census_strata)
    if result.missing:
        stored["missing"] = list(result.missing)
    if result.bounds:
        stored["bounds"] = [_finite(end) for end in result.bounds]
    if result.floor:
        stored["floor"] = {"reply": result.floor.reply, "score": _finite(result.floor.score)}
    if result.floors:
        stored["floors"] = {
            metric: {name: _finite(value) for name, value in models.items()}
            for metric, models in result.floors.items()
        }
    return {**stored, "provenance": dict(result.provenance)}


def scores(stored: Mapping[str, Any]) -> Scores:
    """The way back from ``as_json``. Raises UserError for what is no result of a task."""
    try:
        n, groups = int(stored["n"]), int(stored["groups"])
        metrics = {str(name): _number(value) for name, value in stored["metrics"].items()}
        more = stored.get("unscored_counts") or {}
        every = sum(map(int, stored["unscored"].values()))
        own = {
            str(name): Count(int(counted[0]), int(counted[1]), int(more.get(name, every)))
            for name, counted in stored["counts"].items()
        }
        floor = stored.get("floor")
        return Scores(
            task=str(stored["task"]),
            headline=str(stored["headline"]),
            metrics=metrics,
            intervals={str(name): _ends(pair) for name, pair in stored["intervals"].items()},
            n=n,
            total=int(stored["total"]),
            unscored={str(reason): int(times) for reason, times in stored["unscored"].items()},
            counts={name: own.get(name, Count(n, groups, every)) for name in metrics},
            provenance=dict(stored["provenance"]),
            bounds=_ends(stored["bounds"]) if stored.get("bounds") else None,
            floor=Floor(str(floor["reply"]), _number(floor["score"])) if floor else None,
            floors={
                str(metric): {str(name): _number(value) for name, value in models.items()}
                for metric, models in (stored.get("floors") or {}).items()
            },
            seed_intervals={
                str(name): _ends(pair) for name, pair in stored.get("seed_intervals", {}).items()
            },
            census=tuple(map(str, stored.get("census", ()))),
            census_strata=tuple(map(str, stored.get("census_strata", ()))),
            missing=tuple(map(str, stored.get("missing", ()))),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the {METRICS} of {stored.get('task')!r} is not that of a task ({error}): "
            "`python -m harmon_eval mark` makes it again"
        ) from None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _spans(spans: Mapping[str, Interval]) -> dict[str, list[float | None]]:
    """JSON has no infinity: an end without a limit is null."""
    return {name: [_finite(low), _finite(high)] for name, (low, high) in spans.items()}


def _ends(pair: Sequence[float | None]) -> Interval:
    low, high = pair
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)
