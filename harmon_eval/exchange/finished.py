"""A run as the formats of other tools need it: its metrics, and its samples with their marks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harmon_eval import registry
from harmon_eval.core import Task, UserError
from harmon_eval.report import gather
from harmon_eval.report.marks import marks_of
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import counts_of, results_by_task

Z = 1.959964  # half the width of a 95 % interval in standard errors


@dataclass(frozen=True)
class FinishedSample:
    """One sample: what was asked, what came back, and the mark.

    ``index``: its place in the whole task, the same in every run of it. ``mark`` is between 0 and
    1 for verdicts and shares, and None where a task has no mark of single samples. ``response`` is
    a reply or the file of an image. ``row`` is what the marker wrote, as JSON values."""

    index: int
    id: str
    group: str
    stratum: str
    text: str
    images: tuple[Path, ...]
    target: str
    response: Path | str | None
    mark: float | None
    unscored: str
    row: Mapping[str, Any]


@dataclass(frozen=True)
class FinishedTask:
    """A task of a run. ``stored`` is what ``metrics.json`` holds; ``mark_name`` says what the
    samples' ``mark`` is, and is empty where they have none."""

    run: RunFolder
    name: str
    stored: Mapping[str, Any]
    task: Task | None
    data: Path | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Those that have a value, the headline first."""
        known = {name: value for name, value in self.stored["metrics"].items() if value is not None}
        head = self.stored["headline"]
        first = {head: known[head]} if head in known else {}
        return {**first, **known}

    def interval(self, metric: str) -> tuple[float | None, float | None]:
        low, high = self.stored["intervals"].get(metric, (None, None))
        return low, high

    def standard_error(self, metric: str) -> float | None:
        """That of a symmetric interval as wide as ours; None without two ends."""
        low, high = self.interval(metric)
        return None if low is None or high is None else (high - low) / (2 * Z)

    def n(self, metric: str) -> int:
        return counts_of(self.stored, metric)[0]

    def higher_is_better(self, metric: str) -> bool | None:
        if metric == self.stored["headline"]:
            return bool(self.stored["higher_is_better"])
        try:
            return self.task.metric(metric).higher_is_better if self.task else None
        except KeyError:
            return None

    @property
    def complete(self) -> bool:
        return bool(self.stored["n"] == self.stored["total"])

    @property
    def version(self) -> str:
        return str(self.stored["provenance"]["version"])

    @cached_property
    def _view(self) -> gather.TaskView:
        return gather.read_task(self.run, self.name, self.data, self.task)

    @property
    def remark(self) -> str:
        """Why prompts and questions are not at hand; empty if they are."""
        return self._view.remark

    @cached_property
    def _marks(self) -> tuple[str, dict[str, float]]:
        rows = self.run.task(self.name).rows(vectors=False)
        return ("", {}) if rows is None else marks_of(self.task, rows)

    @property
    def mark_name(self) -> str:
        return self._marks[0]

    def samples(self) -> Iterator[FinishedSample]:
        view, (_, marks) = self._view, self._marks
        place = {name: number for number, name in enumerate(view.samples or view.rows)}
        for number, (name, row) in enumerate(view.rows.items()):
            sample = view.samples.get(name)
            text, images = gather.request_of(sample, row)
            plain = {k: as_json(v) for k, v in row.items() if not gather.absent(v)}
            yield FinishedSample(
                index=place.get(name, number),
                id=name,
                group=str(row.get("group") or name),
                stratum=str(row.get("stratum") or ""),
                text=text,
                images=images,
                target=_target(dict(sample.target) if sample else {}, plain),
                response=view.responses.get(name),
                mark=marks.get(name),
                unscored=str(plain.get("unscored") or ""),
                row=plain,
            )


@dataclass(frozen=True)
class FinishedRun:
    """A run folder and those of its tasks that have a result."""

    folder: RunFolder
    manifest: Mapping[str, Any]
    tasks: Sequence[FinishedTask]

    @property
    def identity(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest["identity"]
        return found

    @property
    def model(self) -> str:
        return str((self.identity.get("model") or {}).get("name") or "unknown")

    @property
    def settings(self) -> dict[str, Any]:
        return dict((self.identity.get("model") or {}).get("settings") or {})

    @property
    def packages(self) -> dict[str, str]:
        found = (self.manifest.get("environment") or {}).get("packages") or {}
        return {str(name): str(version) for name, version in found.items()}

    def time(self, which: str) -> datetime:
        """When the run ``started`` or ``finished``; the start of 1970 where that is not known."""
        try:
            found = datetime.fromisoformat(str(self.manifest.get(which)))
        except ValueError:
            return datetime.fromtimestamp(0, UTC)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


def read(run: Path, tasks: Sequence[str] | None = None, data: Path | None = None) -> FinishedRun:
    """Raises UserError for what is no run, has no results, or lacks one of the ``tasks``."""
    folder = RunFolder(run)
    stored = results_by_task(folder)
    chosen = list(dict.fromkeys(tasks)) if tasks else list(stored)
    for name in chosen:
        if name not in stored:
            known = ", ".join(stored) or "none"
            raise UserError(f"{run} has no result of {name!r}: it has {known}")
    if not chosen:
        raise UserError(f"{run} has no results yet: finish it, or `mark` it")
    found = [FinishedTask(folder, name, stored[name], _task(name), data) for name in chosen]
    return FinishedRun(folder, folder.manifest, found)


def _task(name: str) -> Task | None:
    """None for one whose plug-in is not here: its stored numbers are enough."""
    try:
        return registry.task(name)
    except UserError:
        return None


def as_json(value: Any) -> Any:
    """A cell as a JSON value: arrays are lists, numbers that are not finite are texts."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): as_json(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(inside) for inside in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


ANSWERS = ("answer", "answers", "label", "target")


def _target(target: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """What would be right, as text: the answer where there is one, else all that marks it."""
    for known in (target, row):
        for name in ANSWERS:
            if name in known:
                value = as_json(known[name])
                value = value[0] if isinstance(value, list) and len(value) == 1 else value
                return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(as_json(target), ensure_ascii=False) if target else ""
