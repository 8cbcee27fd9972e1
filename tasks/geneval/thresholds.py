"""GenEval's stored detections marked again by other thresholds: no detector, no images.

What comes of it lies beside the official result, as a task of another name, so that the two never
share a row or column.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import pandas as pd

from harmon_eval import registry
from harmon_eval.core import Result, Suite, UserError
from harmon_eval.running.jobs import Job, RunSettings, prepare
from harmon_eval.running.results import store_result, summarize
from harmon_eval.store.durable import read_json
from harmon_eval.store.run_folder import MARKS, RunFolder
from harmon_eval.tasks.geneval.marks import verdicts
from harmon_eval.tasks.geneval.rules import PUBLISHED, Protocol

TASKS = ("geneval", "geneval_fresh")


def protocol(threshold: float | None, counting: float | None) -> Protocol:
    """The published one but for these scores. Raises UserError where nothing is changed by them."""
    if not all(0 < score < 1 for score in (threshold, counting) if score is not None):
        raise UserError("a GenEval threshold is a score between 0 and 1")
    made = replace(
        PUBLISHED,
        threshold=PUBLISHED.threshold if threshold is None else threshold,
        counting_threshold=PUBLISHED.counting_threshold if counting is None else counting,
    )
    if made == PUBLISHED:
        raise UserError("these are the published thresholds: `mark RUN` without them does that")
    return made


def mark_again(run: RunFolder, suite: Suite, rules: Protocol) -> list[Result]:
    """Results of the run's GenEval tasks under these rules, stored in folders of their own.

    Raises UserError where nothing is marked yet, or thresholds lie below what was stored."""
    known = run.manifest["tasks"]
    names = [name for name in TASKS if name in known]
    if not names:
        raise UserError(f"{run.path} holds no GenEval: its tasks are {', '.join(known)}")
    return [_mark_task(run, suite, name, rules) for name in names]


def _mark_task(run: RunFolder, suite: Suite, name: str, rules: Protocol) -> Result:
    identity, entry = run.manifest["identity"], run.manifest["tasks"][name]
    folder = run.task(name)
    try:
        key = read_json(folder.path / MARKS)["key"]
    except (FileNotFoundError, KeyError):
        key = None
    rows = None if key is None else folder.marks(key)
    if rows is None:
        raise UserError(f"{run.path} has no sound marks of {name}: `mark {run.path}` makes them")
    scored = rows["unscored"].isna()
    again = verdicts(rows[scored], rules) if scored.any() else rows[scored]
    rows = pd.concat([again, rows[~scored]]).sort_index()
    label = f"{name}@threshold={rules.threshold:g},counting={rules.counting_threshold:g}"
    settings = RunSettings(identity["seed"], entry["limit"])
    job = prepare(name, registry.task(name), suite, settings)
    instruments = {**key["instruments"], "rules": asdict(rules)}
    provenance = {
        **identity,
        "limit": entry["limit"],
        "data": entry["data"],
        "version": key["version"],
        "instruments": instruments,
    }
    relabelled = Job(label, job.task, job.everything, job.samples, job.limit)
    result = summarize(relabelled, rows, provenance)
    beside = run.task(label)
    beside.finish_marks({"version": key["version"], "instruments": instruments}, rows)
    store_result(beside, job.task, result)
    return result
