"""Two run folders side by side: which of their tasks can be compared, and if not, why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harmon_eval import registry
from harmon_eval.core import Task, UserError
from harmon_eval.leaderboard.entries import IDENTITY
from harmon_eval.store.run_folder import ROWS, RunFolder, differing, settings_of


@dataclass(frozen=True)
class TaskPair:
    """One task of two runs. ``reasons`` say why it cannot be compared; else the rows are scored,
    of the same samples and in the same order. ``notes`` are worth knowing."""

    name: str
    task: Task | None
    headline: str
    higher_is_better: bool
    baseline: pd.DataFrame
    candidate: pd.DataFrame
    metrics: frozenset[str]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def pairs(
    baseline: RunFolder, candidate: RunFolder, tasks: Sequence[str] | None, any_settings: bool
) -> Iterator[TaskPair]:
    """Each task of the baseline, or those named. Raises UserError for what is no run folder."""
    ours, theirs = _results(baseline), _results(candidate)
    for name in tasks or ours:
        if name not in ours and name not in theirs:
            raise UserError(
                f"neither run has results of {name!r}: {baseline.path} has {', '.join(ours)}"
            )
        yield _pair(name, baseline, candidate, ours.get(name), theirs.get(name), any_settings)


def _results(run: RunFolder) -> dict[str, dict[str, Any]]:
    stored = {name: run.task(name).metrics() for name in run.manifest["tasks"]}
    found = {name: result for name, result in stored.items() if result is not None}
    if not found:
        raise UserError(f"{run.path} has no results yet: finish it with the same command")
    return found


def _pair(
    name: str,
    baseline: RunFolder,
    candidate: RunFolder,
    ours: dict[str, Any] | None,
    theirs: dict[str, Any] | None,
    any_settings: bool,
) -> TaskPair:
    known = ours or theirs or {}
    sides = ((baseline, ours), (candidate, theirs))
    reasons = [f"{run.path} has no results of it" for run, result in sides if result is None]
    task = None
    frames = [pd.DataFrame(), pd.DataFrame()]
    notes: list[str] = []
    if ours and theirs:
        reasons += _other(ours["provenance"], theirs["provenance"], any_settings)
        notes += _notes(ours["provenance"], theirs["provenance"])
        for side, run in enumerate((baseline, candidate)):
            if (rows := run.task(name).rows()) is not None:
                frames[side] = rows
            else:
                reasons.append(f"{run.path} has no {name}/{ROWS}: its marks are not at hand")
        try:
            task = registry.task(name)
        except UserError as error:
            reasons.append(str(error))
        if task and (stored := ours["provenance"]["version"]) != task.version:
            reasons.append(
                f"marked by version {stored} of the task, installed is {task.version}: "
                "mark both again"
            )
        if not reasons:
            reasons += _unscored(*frames, str(baseline.path), str(candidate.path))
            frames, more = _aligned(frames[0], frames[1], ours["total"])
            notes += more
            reasons += [] if len(frames[0]) else ["the runs have no sample in common"]
    results = [result for result in (ours, theirs) if result]
    metrics = frozenset().union(*(result["intervals"] for result in results))
    headline = known["headline"]
    return TaskPair(
        name,
        task,
        headline,
        known["higher_is_better"],
        frames[0],
        frames[1],
        metrics | {headline},
        tuple(reasons),
        tuple(notes),
    )


def _other(ours: dict[str, Any], theirs: dict[str, Any], any_settings: bool) -> Iterator[str]:
    for key in IDENTITY:
        if changes := list(differing(ours[key], theirs[key])):
            yield f"other {key} ({'; '.join(changes)})"
    settings = list(differing(settings_of(ours["model"]), settings_of(theirs["model"])))
    if settings and not any_settings:
        yield f"other settings ({'; '.join(settings)}): --any-settings if that is the question"


def _notes(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    same_weights = ours["model"]["fingerprint"] == theirs["model"]["fingerprint"]
    if ours["seed"] != theirs["seed"]:
        yield f"seeds {ours['seed']} and {theirs['seed']}"
    elif same_weights and settings_of(ours["model"]) == settings_of(theirs["model"]):
        yield "same weights, settings and seed: nothing can differ"


def _unscored(ours: pd.DataFrame, theirs: pd.DataFrame, *names: str) -> Iterator[str]:
    for rows, name in zip((ours, theirs), names, strict=True):
        if count := int(rows["unscored"].notna().sum()):
            yield f"{count} of {len(rows)} samples of {name} are unscored"


def _aligned(
    ours: pd.DataFrame, theirs: pd.DataFrame, total: int
) -> tuple[list[pd.DataFrame], list[str]]:
    """The rows of common samples in one order."""
    common = sorted(set(ours["id"]) & set(theirs["id"]))
    notes = []
    if len(common) < max(total, len(ours), len(theirs)):
        notes.append(f"paired on {len(common)} of {total} samples")
    sides = [rows.set_index("id", drop=False).loc[common] for rows in (ours, theirs)]
    return [rows.reset_index(drop=True).infer_objects() for rows in sides], notes
