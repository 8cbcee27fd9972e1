"""Read two run folders and decide which of their tasks can be compared, and if not, why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harmon_eval import registry
from harmon_eval.core import NOT_GIVEN, Task, UserError
from harmon_eval.metrics.columns import reads, texts
from harmon_eval.metrics.text import counted
from harmon_eval.ranking.entries import IDENTITY
from harmon_eval.store.rows import in_order
from harmon_eval.store.run_folder import RunFolder, differing, settings_of
from harmon_eval.store.tables import results_by_task
from harmon_eval.store.task_folder import CALIBRATIONS, ROWS, TaskFolder

if TYPE_CHECKING:
    import pyarrow as pa

CENSUS = (
    "census of {strata}: there are no other prompts, so this part of an interval is for other "
    "seeds, not for new prompts"
)


@dataclass(frozen=True)
class TaskPair:
    """One task in two runs.

    ``reasons`` say why it cannot be compared. If there are none, all rows are scored, and both
    frames hold the same samples in the same order. ``notes`` tell the reader what to keep in mind.
    ``more``: further pairs of frames, of the same two models with other seeds. ``identical``: both
    runs have the same weights, settings and seed. ``census``: the strata of which they hold every
    prompt there is. ``places``: where the samples stand in the baseline's file; None where all of
    it stand as they do there.
    """

    name: str
    task: Task | None
    headline: str
    higher_is_better: bool
    baseline: pd.DataFrame
    candidate: pd.DataFrame
    metrics: frozenset[str]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    more: tuple[tuple[pd.DataFrame, pd.DataFrame], ...] = ()
    identical: bool = False
    census: tuple[str, ...] = ()
    places: np.ndarray | None = None

    @property
    def bare(self) -> TaskPair:
        """The same without its rows."""
        ours, theirs = self.baseline[:0], self.candidate[:0]
        return replace(self, baseline=ours, candidate=theirs, more=(), places=None)

    @property
    def contrast(self) -> tuple[list[pd.DataFrame], list[float]]:
        """All frames, and what each counts in the mean candidate minus the mean baseline."""
        each = [(self.baseline, self.candidate), *self.more]
        share = 1 / len(each)
        return [frame for two in each for frame in two], [-share, share] * len(each)


def pooled(parts: Sequence[TaskPair]) -> TaskPair:
    """One task's pairs with different seeds, as one pair on the samples that all have."""
    first = parts[0]
    reasons = tuple(dict.fromkeys(reason for part in parts for reason in part.reasons))
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    if len(parts) == 1 or reasons:
        return replace(first, reasons=reasons, notes=notes)
    each = [(part.baseline, part.candidate) for part in parts]
    common = set.intersection(*(set(ours["id"]) for ours, _ in each))
    if not common:
        return replace(first, reasons=("the pooled runs have no sample in common",))
    kept = [tuple(f[f["id"].isin(common)].reset_index(drop=True) for f in two) for two in each]
    if len(common) < max(len(ours) for ours, _ in each):
        notes = (*notes, f"pooled on {counted(len(common), 'sample')} that all seeds have")
    (baseline, candidate), *more = kept
    notes = (*notes, f"the mean of {len(parts)} pairs of runs")
    return replace(
        first,
        baseline=baseline,
        candidate=candidate,
        notes=notes,
        reasons=(),
        more=tuple(more),
        identical=all(part.identical for part in parts),
        census=_in_all([p.census if len(p.baseline) == len(common) else () for p in parts]),
    )


def pairs(
    baseline: RunFolder,
    candidate: RunFolder,
    tasks: Sequence[str] | None,
    any_settings: bool,
    known: Mapping[str, Task] | None = None,
    ids: bool = False,
) -> Iterator[TaskPair]:
    """Each task of the baseline, or the named tasks. ``known`` holds tasks not in the registry;
    ``ids``: the frames tell which samples they hold, to be matched with other frames.

    Raises UserError if a run has no results, or if neither run has a named task."""
    ours, theirs = _results(baseline), _results(candidate)
    # A variant computed from one run's marks is compared only if it is named.
    for name in tasks or [name for name in ours if name in baseline.manifest["tasks"]]:
        if name not in ours and name not in theirs:
            raise UserError(
                f"neither run has results of {name!r}: {baseline.path} has {', '.join(ours)}"
            )
        task = (known or {}).get(name)
        results = (ours.get(name), theirs.get(name))
        yield _pair(name, task, baseline, candidate, *results, any_settings, ids)


def _results(run: RunFolder) -> dict[str, dict[str, Any]]:
    found = results_by_task(run)
    if not found:
        raise UserError(f"{run.path} has no results yet: finish it with the same command")
    return found


def _pair(
    name: str,
    task: Task | None,
    baseline: RunFolder,
    candidate: RunFolder,
    ours: dict[str, Any] | None,
    theirs: dict[str, Any] | None,
    any_settings: bool,
    ids: bool,
) -> TaskPair:
    known = ours or theirs or {}
    sides = ((baseline, ours), (candidate, theirs))
    reasons = [f"{run.path} has no results of {name}" for run, result in sides if result is None]
    frames = [pd.DataFrame(), pd.DataFrame()]
    notes: list[str] = []
    identical = False
    places: np.ndarray | None = None
    census: tuple[str, ...] = ()
    if ours and theirs:
        reasons += _other(ours["provenance"], theirs["provenance"], any_settings)
        same = _sameness(baseline, candidate, ours["provenance"], theirs["provenance"])
        notes += _notes(ours, theirs, same)
        identical = bool(same)
        notes += _uncalibrated(ours["provenance"], (baseline.task(name), candidate.task(name)))
        task, unknown = _known(name, task)
        for run in (baseline, candidate):
            if not (run.task(name).path / ROWS).exists():
                reasons.append(f"{run.path} has no {ROWS} of {name}: its marks are missing")
        reasons += unknown
        if task and (stored := ours["provenance"]["version"]) != task.version:
            reasons.append(
                f"marked by version {stored} of the task, but version {task.version} is installed: "
                "mark both again"
            )
        if task and not reasons:
            folders = [run.task(name) for run in (baseline, candidate)]
            reasons += _unscored(folders)
            stand, more = _places(folders, ours["total"])
            frames, places = _frames(folders, task, stand, ids), stand[0]
            notes += more
            reasons += [] if len(frames[0]) else ["the runs have no sample in common"]
            census = _census(ours, theirs, len(frames[0]))
            notes += [CENSUS.format(strata=", ".join(census))] if census else []
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
        identical=identical,
        census=census,
        places=places,
    )


def _known(name: str, task: Task | None) -> tuple[Task | None, list[str]]:
    """The task, or why there is none of this name."""
    try:
        return task or registry.task(name), []
    except UserError as error:
        return None, [str(error)]


def _compared(task: Task) -> Callable[[pa.Field], bool]:
    """The columns that are read to compare: those that the task reads to add up, and all numbers
    and verdicts. Texts that only people read stay where they are."""
    import pyarrow as pa

    read, kinds = reads(task, once=False), pa.types
    numbers = (kinds.is_boolean, kinds.is_integer, kinds.is_floating)
    return lambda field: read(field.name) or any(is_one(field.type) for is_one in numbers)


def maximum(task: Task | str, metric: str) -> float | None:
    """Of a metric of a task, or of one with this name; None if it has none or is not known."""
    try:
        return (registry.task(task) if isinstance(task, str) else task).metric(metric).maximum
    except (KeyError, UserError):
        return None


def maxima(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Of the headlines of stored results (task -> result)."""
    return {name: maximum(name, result["headline"]) for name, result in results.items()}


def _other(ours: dict[str, Any], theirs: dict[str, Any], any_settings: bool) -> Iterator[str]:
    for key in IDENTITY:
        if changes := list(differing(ours[key], theirs[key])):
            yield f"different {key} ({'; '.join(changes)})"
    settings = list(differing(settings_of(ours["model"]), settings_of(theirs["model"])))
    if settings and not any_settings:
        yield f"different settings ({'; '.join(settings)}): --any-settings compares them anyway"


def _sameness(
    baseline: RunFolder, candidate: RunFolder, ours: dict[str, Any], theirs: dict[str, Any]
) -> str:
    """Why nothing can differ, in words; nothing if it can."""
    if baseline.path.resolve() == candidate.path.resolve():
        return "the same run"
    logs = [(run.manifest.get("about") or {}).get("files") for run in (baseline, candidate)]
    if logs[0] and logs[0] == logs[1]:
        return "imported from the same files"
    models = [each["model"] for each in (ours, theirs)]
    prints = {model["fingerprint"] for model in models}
    same_weights = len(prints) == 1 and NOT_GIVEN not in prints
    same_settings = settings_of(models[0]) == settings_of(models[1])
    if same_weights and same_settings and bool(ours["seed"] == theirs["seed"]):
        return "same weights, settings and seed"
    return ""


def _notes(ours: dict[str, Any], theirs: dict[str, Any], same: str) -> Iterator[str]:
    """Of two results. Where no number differs, another seed would have shown nothing more."""
    seeds = [each["provenance"]["seed"] for each in (ours, theirs)]
    if seeds[0] != seeds[1] and ours["metrics"] != theirs["metrics"]:
        yield (
            f"seeds {seeds[0]} and {seeds[1]}: with the same seed, fewer samples would "
            "show as much (docs/ci.md)"
        )
    elif same:
        yield f"{same}: nothing can differ"


def _uncalibrated(ours: dict[str, Any], folders: Sequence[TaskFolder]) -> Iterator[str]:
    """Of a judge that is a model; those of the mini suite are rules."""
    judged = "judge" in ours["instruments"] and ours["suite"] != "mini"
    if judged and not any(any(folder.path.glob(CALIBRATIONS)) for folder in folders):
        yield "nobody compared this judge with people's marks yet: `label` and `calibrate` do that"


def _census(ours: dict[str, Any], theirs: dict[str, Any], samples: int) -> tuple[str, ...]:
    """The strata of which both results hold every prompt; none if ``samples`` are not all."""
    if not samples == ours["total"] == theirs["total"]:
        return ()
    return _in_all([result.get("census_strata") or () for result in (ours, theirs)])


def _in_all(strata: Sequence[Sequence[str]]) -> tuple[str, ...]:
    first, *others = strata
    return tuple(name for name in first if all(name in own for own in others))


def _unscored(folders: Sequence[TaskFolder]) -> Iterator[str]:
    for folder in folders:
        if count := sum(1 for _ in folder.column("unscored")):
            every = sum(1 for _ in folder.column("id"))
            yield f"{count:,} of {counted(every, 'sample')} of {folder.root} unscored"


def _places(folders: Sequence[TaskFolder], total: int) -> tuple[list[np.ndarray | None], list[str]]:
    """Where the common samples stand in both files, by their ids; None for a file that holds no
    others, in this order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if (count := folders[0].same_ids(folders[1])) is not None:
        return [None, None], _paired(count, count, total)
    ids = [folder.ids() for folder in folders]
    places: list[np.ndarray | None] = [
        None if in_order(own) else pc.sort_indices(own).to_numpy() for own in ids
    ]
    ordered = [
        own if place is None else own.take(pa.array(place))
        for own, place in zip(ids, places, strict=True)
    ]
    count = len(ordered[0])
    if not ordered[0].equals(ordered[1]):
        for side, other in ((0, 1), (1, 0)):
            common = pc.is_in(ordered[side], ordered[other].combine_chunks())
            own = np.flatnonzero(common.to_numpy())
            before = places[side]
            places[side] = own if before is None else before[own]
            count = len(own)
    return places, _paired(count, max(map(len, ids)), total)


def _paired(count: int, most: int, total: int) -> list[str]:
    return [f"paired on {count:,} of {counted(total, 'sample')}"] * (count < max(total, most))


def _frames(
    folders: Sequence[TaskFolder], task: Task, places: Sequence[np.ndarray | None], ids: bool
) -> list[pd.DataFrame]:
    """The rows at these places of both. The groups and strata of the samples are held once."""
    ours, theirs = (_rows(*one, task, ids) for one in zip(folders, places, strict=True))
    labels = [name for name in ("group", "stratum") if name in ours and name in theirs]
    return [ours, theirs.assign(**{name: ours[name] for name in labels})]


def _rows(folder: TaskFolder, place: np.ndarray | None, task: Task, ids: bool) -> pd.DataFrame:
    wanted, named = _compared(task), texts(task, once=False)
    rows = folder.rows_to_add(lambda f: wanted(f) or (ids and f.name == "id"), named)
    assert rows is not None
    if place is not None:
        rows = rows.take(place).reset_index(drop=True)
    return rows.drop(columns="unscored").infer_objects()
