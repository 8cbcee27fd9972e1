"""Mark again what a run folder holds, without the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pandas as pd

from harmon_eval import registry, settings, suites
from harmon_eval.core import Result, UserError
from harmon_eval.running import engine as engines
from harmon_eval.running import machine, preflight
from harmon_eval.running.asking import stored_answers
from harmon_eval.running.engine import Pool
from harmon_eval.running.evaluate import Outcome, run_jobs, task_list
from harmon_eval.running.jobs import Job, RunSettings, prepare
from harmon_eval.running.results import store_result, summarize
from harmon_eval.running.rounds import Rounds
from harmon_eval.running.runner import start_job
from harmon_eval.running.trust import check_instruments
from harmon_eval.store import tables
from harmon_eval.store.durable import read_json
from harmon_eval.store.paths import UnsafePath
from harmon_eval.store.run_folder import IMPORTED, RunFolder
from harmon_eval.store.task_folder import MARKS, METRICS, TaskFolder
from harmon_eval.suites import Suite


def mark(
    path: Path,
    names: str | None = None,
    data: Path | None = None,
    instruments: Mapping[str, str] | None = None,
    pool: Pool | None = None,
    command: Mapping[str, Any] | None = None,
) -> Outcome:
    """Mark and summarize what a run folder holds.

    ``data`` and ``instruments`` are by default those of the run, but for an instrument that opens a
    connection or a program, which must be named; ``?key=value`` for a role changes settings of the
    run's own, ``@URL`` says the address of its judge. A variant that needs only the marks of its
    task (``Task.from_marks``) is made from those. ``command``: the command line and its options,
    for the manifest. Raises UserError."""
    folder = RunFolder(path)
    manifest = folder.manifest
    known: dict[str, Any] = manifest["tasks"]
    chosen = task_list(names) if names else list(known)
    suite = suites.load(
        manifest["identity"]["suite"],
        data or (Path(manifest["data"]) if manifest.get("data") else None),
        _instruments(manifest, instruments or {}),
        fetching=bool(names),
    )
    variants = [name for name in chosen if name not in known and _of_marks(name, known)]
    stored = [name for name in chosen if name not in variants]
    if unknown := [name for name in stored if name not in known]:
        raise UserError(f"{path} holds no responses of {unknown[0]!r}: it has {', '.join(known)}")
    if variants and (stored or instruments):
        raise UserError(
            f"mark {', '.join(variants)} without other tasks and without instruments: they only "
            "need stored marks"
        )
    if variants:
        return _mark_variants(folder, suite, variants, command)
    preflight.check_roles(instruments or {}, map(registry.task, stored))
    own = _instruments(manifest, {})
    unnamed = {role: suite.chosen[role] for role in own if not _is_named(role, instruments or {})}
    return _mark_stored(folder, suite, stored, unnamed, pool or Pool(), command)


def _mark_stored(
    folder: RunFolder,
    suite: Suite,
    names: list[str],
    unnamed: Mapping[str, str],
    pool: Pool,
    command: Mapping[str, Any] | None,
) -> Outcome:
    manifest = folder.manifest
    known, seed = manifest["tasks"], manifest["identity"]["seed"]
    jobs = [
        prepare(
            name,
            registry.task(name),
            _with_its_data(folder, name, suite),
            RunSettings(seed, known[name]["limit"]),
            folder.task(name).held,
        )
        for name in names
    ]
    for job in jobs:
        _that_nothing_is_lost(folder, job)
    exact = bool(manifest["identity"].get("exact"))
    with folder.locked(), engines.opened(pool, folder.path, exact=exact) as engine:
        if exact and not engine.remote:
            machine.deterministic_kernels()
        check_instruments(jobs, suite, folder, unnamed)
        for job in jobs:
            start_job(job, folder)
        _note(folder, command)
        return run_jobs(jobs, None, suite, folder, RunSettings(exact=exact), engine)


def _with_its_data(run: RunFolder, name: str, suite: Suite) -> Suite:
    """``suite``, or for what ``import`` made one with the data in the run."""
    own = run.data_of(name)
    return suites.load(suite.name, own) if own == run.path / IMPORTED else suite


def _note(run: RunFolder, command: Mapping[str, Any] | None) -> None:
    """What marked last, beside the command that made the run."""
    if command:
        run.update(marked=dict(command))


def _that_nothing_is_lost(run: RunFolder, job: Job) -> None:
    """Raises UserError where samples that have a score have no sound response any more."""
    folder = run.task(job.name)
    recorded = folder.recorded()
    stored, _ = stored_answers(folder, recorded, job.samples, rounds=Rounds(job.task, job.samples))
    if len(stored) == len(job.samples):
        return
    rows = folder.marks(_key(folder), ["id", "unscored"])
    if rows is not None:
        scored = rows.loc[rows["unscored"].isna(), "id"]
        lost = sum(name not in stored for name in scored)
    else:  # then the scores themselves are all that there is
        lost = _scored(folder) - len(stored)
    if lost > 0:
        raise UserError(
            f"{run.path}: {lost} responses of {job.name} that have a score are missing or damaged, "
            f"and marking again would lose {'it' if lost == 1 else 'them'}: put them back, or let "
            "the model give them again (`run` with the same settings); nothing was changed"
        )


def _scored(folder: TaskFolder) -> int:
    """How many samples the stored scores are of; 0 without scores that can be read."""
    try:
        return int(read_json(folder.path / METRICS)["n"])
    except (OSError, KeyError, TypeError, ValueError, UserError):
        return 0


def _key(folder: TaskFolder) -> dict[str, Any]:
    """What a task's finished marks depend on; empty where there are none."""
    try:
        return dict(read_json(folder.path / MARKS, folder.root)["key"])
    except UnsafePath:
        raise
    except (FileNotFoundError, KeyError, TypeError, UserError):
        return {}


def _instruments(manifest: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Those of the run, changed by what was given. Raises UserError."""
    found: dict[str, str] = dict(manifest.get("instruments") or {})
    for role, spec in given.items():
        if spec.startswith("?") and role in found:
            found[role] = _changed(found[role], settings.split(spec)[1])
        elif spec.startswith("@"):
            found[role] = _at(spec, found.get(role, ""))
        else:
            found[role] = spec
    return found


def _at(spec: str, own: str) -> str:
    """The run's own served judge at the address that is given. Raises UserError without one."""
    address, given = settings.split(spec)
    place, query, more = own.partition("?")
    model, at, _ = place.rpartition("@http")
    model = model if at else place
    if not model.startswith("openai:"):
        raise UserError("--judge-url needs --judge-model: the model's name at that endpoint")
    return _changed(f"{model}{address}{query}{more}", given)


def _changed(spec: str, given: Mapping[str, str]) -> str:
    """An instrument with some settings replaced or added."""
    place, own = settings.split(spec)
    every = urlencode({**own, **given}, quote_via=quote)  # in a name, a plus sign is no space
    return f"{place}?{every}" if every else place


def _is_named(role: str, given: Mapping[str, str]) -> bool:
    """Whether the user said which instrument it is, not only settings of the run's own."""
    return role in given and not given[role].startswith("?")


# -- variants that need only marks -------------------------------------------------------------


def _of_marks(name: str, known: Mapping[str, Any]) -> bool:
    """Whether a variant can be made from the marks of a task that the run has."""
    return name.partition(":")[0] in known and registry.task(name).from_marks is not None


def _mark_variants(
    run: RunFolder, suite: Suite, names: list[str], command: Mapping[str, Any] | None
) -> Outcome:
    with run.locked():
        _note(run, command)
        results = {name: _mark_variant(run, suite, name) for name in names}
        tables.write_tables(run.path)
    unscored = sum(sum(result.unscored.values()) for result in results.values())
    return Outcome(run, results, int(bool(unscored)), (), unscored)


def _mark_variant(run: RunFolder, suite: Suite, name: str) -> Result:
    """Rows of a variant from those of its task, stored in a folder of their own.

    Raises UserError where nothing is marked yet."""
    base, task = name.partition(":")[0], registry.task(name)
    identity, entry = run.manifest["identity"], run.manifest["tasks"][base]
    rows, key = _marked(run, base)
    assert task.from_marks is not None
    scored = rows["unscored"].isna()
    again = task.from_marks(rows[scored]) if scored.any() else rows[scored]
    rows = pd.concat([again, rows[~scored]]).sort_index()
    job = prepare(base, task, suite, RunSettings(identity["seed"], entry["limit"]))
    key = {"version": task.version, "instruments": key["instruments"]}
    provenance = {**identity, "limit": entry["limit"], "data": entry["data"], **key}
    result = summarize(Job(name, task, job.everything, job.samples, job.limit), rows, provenance)
    folder = run.task(name)
    folder.finish_marks(key, rows)
    store_result(folder, task, result)
    return result


def _marked(run: RunFolder, name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The sound marks of a task and what they depend on. Raises UserError without any."""
    folder = run.task(name)
    key = _key(folder)
    rows = folder.marks(key) if key else None
    if rows is None:
        raise UserError(f"{run.path} has no sound marks of {name}: `mark {run.path}` makes them")
    return rows, key
