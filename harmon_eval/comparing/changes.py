"""The samples whose marks changed: prompt, both responses, both marks."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from harmon_eval.comparing.means import BOOKKEEPING, mark_columns
from harmon_eval.comparing.runs import TaskPair
from harmon_eval.core import UserError
from harmon_eval.store.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

PROMPT_COLUMNS = ("prompt", "question")
LONGEST = 2000


@dataclass(frozen=True)
class Change:
    """``before`` and ``after`` hold the mark's values that differ, and the response itself."""

    task: str
    id: str
    prompt: str
    gained: bool
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True)
class _Part:
    """The changed samples of one task in two runs: where they stand in the baseline's rows, losses
    first, and how many are."""

    pair: TaskPair
    runs: tuple[RunFolder, RunFolder]
    places: np.ndarray
    lost: int


class Changes(Sequence[Change]):
    """The samples of comparable tasks whose yes-or-no mark changed; losses come first in each task.

    Only their places are held: ids, prompts, marks and responses are read from the runs when asked
    for."""

    def __init__(self, parts: Sequence[_Part] = ()) -> None:
        self._parts = parts

    @classmethod
    def of(cls, pairs: Iterable[tuple[TaskPair, tuple[RunFolder, RunFolder]]]) -> Changes:
        found = (_changed(pair, runs) for pair, runs in pairs if not pair.reasons)
        return cls([part for part in found if part is not None])

    @property
    def lost(self) -> int:
        """How many were right only before."""
        return sum(part.lost for part in self._parts)

    def __len__(self) -> int:
        return sum(len(part.places) for part in self._parts)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | Sequence[Change]:
        if isinstance(index, int):
            return self[slice(range(len(self))[index], range(len(self))[index] + 1)][0]
        found: list[Change] = []
        wanted, start = range(len(self))[index], 0
        for part in self._parts:
            own = [n - start for n in wanted if start <= n < start + len(part.places)]
            found += _read(part, own) if own else []
            start += len(part.places)
        return found

    def __iter__(self) -> Iterator[Change]:
        return iter(self[:])


def _changed(pair: TaskPair, runs: tuple[RunFolder, RunFolder]) -> _Part | None:
    ours, theirs = pair.baseline, pair.candidate
    verdicts = [
        name
        for name in mark_columns(ours)
        if name in theirs and ours[name].isin((0, 1)).all() and theirs[name].isin((0, 1)).all()
    ]
    if not verdicts:
        return None
    steps = np.stack([_verdicts(theirs[name]) - _verdicts(ours[name]) for name in verdicts])
    places = np.flatnonzero(steps.any(axis=0)).astype(np.int32)
    if not len(places):
        return None
    gained = (steps[:, places].sum(axis=0) > 0) == pair.higher_is_better
    order = np.concatenate([np.flatnonzero(~gained), np.flatnonzero(gained)])  # ids are sorted
    places = places[order]
    stored = places if pair.places is None else pair.places[places].astype(np.int32)
    return _Part(pair.bare, runs, stored, int((~gained).sum()))


def _verdicts(marks: pd.Series) -> np.ndarray:
    return np.asarray(marks, np.int8)


def _read(part: _Part, places: Sequence[int]) -> list[Change]:
    """Those at these places among the changed samples of a task."""
    pair, rows = part.pair, part.places[list(places)].tolist()
    every, some = part.runs[0].task(pair.name).column("id"), set(rows)
    known = {row: str(name) for row, name in enumerate(every) if row in some}
    names = [known[row] for row in rows]
    wanted = set(names)
    sides = [run.task(pair.name).rows_of(wanted).set_index("id") for run in part.runs]
    prompts = _prompts(pair, part.runs[0], sides[0], wanted)
    logs = [run.task(pair.name).recorded(wanted) for run in part.runs]
    found = []
    for place, name in zip(places, names, strict=True):
        marks = [_shown(rows.loc[name]) for rows in sides]
        kept = {k for k in {**marks[0], **marks[1]} if marks[0].get(k) != marks[1].get(k)}
        own = [{k: v for k, v in mark.items() if k in kept} for mark in marks]
        for side, run, log in zip(own, part.runs, logs, strict=True):
            side["response"] = _response(run, pair.name, name, log)
        gained = place >= part.lost
        found.append(Change(pair.name, name, prompts.get(name, ""), gained, own[0], own[1]))
    return found


def _shown(row: pd.Series) -> dict[str, Any]:
    """The short values of a mark, as JSON values."""
    plain = {}
    for name, value in row.items():
        if name in BOOKKEEPING or name in PROMPT_COLUMNS or name == "metadata":
            continue
        value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
        if isinstance(value, float) and not math.isfinite(value):
            continue  # an empty cell: this row has no such value
        if isinstance(value, bool | int | float) or (
            isinstance(value, str) and len(value) <= LONGEST
        ):
            plain[str(name)] = value
    return plain


def _response(run: RunFolder, task: str, name: str, log: Mapping[str, dict[str, Any]]) -> str:
    entry = log.get(name, {})
    if isinstance(entry.get("reply"), str):
        return str(entry["reply"])
    return str(run.task(task).image_file(name)) if "sha256" in entry else "not stored"


def _prompts(
    pair: TaskPair, run: RunFolder, rows: pd.DataFrame, wanted: Collection[str]
) -> dict[str, str]:
    """Prompts by sample id, from the rows if they hold prompts, otherwise from the suite."""
    for column in PROMPT_COLUMNS:
        if column in rows:
            return dict(zip(rows.index, rows[column].map(str), strict=True))
    from harmon_eval import suites

    try:
        own = run.manifest["identity"]["suite"]
        suite = suites.load(own, run.data_of(pair.name), fetching=False)
        samples = pair.task.samples(suite.data(pair.name, pair.task)) if pair.task else ()
        return {s.id: text for s in samples if s.id in wanted and (text := s.request.text)}
    except (UserError, OSError, json.JSONDecodeError):
        return {}
