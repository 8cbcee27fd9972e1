"""The samples whose marks changed: prompt, both responses, both marks."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


def changes(pair: TaskPair, baseline: RunFolder, candidate: RunFolder) -> list[Change]:
    """Samples of a comparable task whose yes-or-no mark changed; losses come first."""
    if pair.reasons:
        return []
    ours, theirs = pair.baseline, pair.candidate
    verdicts = [
        name
        for name in mark_columns(ours)
        if name in theirs and ours[name].isin((0, 1)).all() and theirs[name].isin((0, 1)).all()
    ]
    if not verdicts:
        return []
    moved = (theirs[verdicts].astype(int) - ours[verdicts].astype(int)).sum(axis=1)
    differ = (theirs[verdicts].astype(int) != ours[verdicts].astype(int)).any(axis=1)
    if not differ.any():
        return []
    prompts = _prompts(pair, baseline, set(ours["id"][differ]))
    sources = [run.task(pair.name).recorded() for run in (baseline, candidate)]
    found = []
    for number in differ[differ].index:
        row, other = ours.loc[number], theirs.loc[number]
        name = str(row["id"])
        marks = [_shown(row), _shown(other)]
        kept = {k for k in {**marks[0], **marks[1]} if marks[0].get(k) != marks[1].get(k)}
        sides = [{k: v for k, v in own.items() if k in kept} for own in marks]
        for side, run, log in zip(sides, (baseline, candidate), sources, strict=True):
            side["response"] = _response(run, pair.name, name, log)
        gained = bool(moved[number] > 0) == pair.higher_is_better
        found.append(Change(pair.name, name, prompts.get(name, ""), gained, sides[0], sides[1]))
    return sorted(found, key=lambda change: (change.gained, change.id))


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


def _prompts(pair: TaskPair, run: RunFolder, wanted: Collection[str]) -> dict[str, str]:
    """Prompts by sample id, from the rows if they hold prompts, otherwise from the suite."""
    for column in PROMPT_COLUMNS:
        if column in pair.baseline:
            rows = pair.baseline[pair.baseline["id"].isin(wanted)]
            return dict(zip(rows["id"], rows[column].map(str), strict=True))
    from harmon_eval import suites

    try:
        own = run.manifest["identity"]["suite"]
        suite = suites.load(own, run.data_of(pair.name), fetching=False)
        samples = pair.task.samples(suite.data(pair.name, pair.task)) if pair.task else ()
        return {s.id: text for s in samples if s.id in wanted and (text := s.request.text)}
    except (UserError, OSError, json.JSONDecodeError):
        return {}
