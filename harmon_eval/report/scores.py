"""The headlines of one run or two, and with two a verdict on each: the gate's paired test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harmon_eval.comparing.margins import Settings
from harmon_eval.comparing.output import probability
from harmon_eval.comparing.runs import pairs
from harmon_eval.comparing.verdict import BETTER, NOT_COMPARABLE, WORSE, Line, compare
from harmon_eval.metrics.text import interval, number, signed
from harmon_eval.ranking.entries import IDENTITY
from harmon_eval.report.headlines import scored
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import floors_of, told_floors

SIGNS = (BETTER, WORSE)
FIELDS = ("metric", "value", "interval", "n", "unscored", "floors")
Stored = Mapping[str, dict[str, Any]]


def verdicts(
    run: RunFolder, against: RunFolder, stored: Sequence[Stored], letter: str = "B"
) -> dict[str, Line]:
    """By task that both have: the headline of ``run`` against that of ``against`` as its baseline.

    Whatever the generation settings: two models or two recipes are what a reader looks at."""
    names = {str(run.path): "A", str(against.path): letter}
    common = [task for task in stored[0] if task in stored[1]]
    if not common:
        return {}
    found = compare(list(pairs(against, run, common, any_settings=True)), Settings({}, {}))
    own = (line for line in found.lines if line.decides)
    return {line.task: replace(line, reason=_lettered(line.reason, names)) for line in own}


def _lettered(text: str, names: Mapping[str, str]) -> str:
    """Runs under their letters: their folders are those of one machine."""
    for path in sorted(names, key=len, reverse=True):
        text = text.replace(path, names[path])
    return text


def lines(stored: Sequence[Stored], found: Sequence[Mapping[str, Line]]) -> list[dict[str, Any]]:
    """One line a task: its headline in each run, and how the first differs from each other one
    (``found``) where that means something."""
    told = []
    for task, result in stored[0].items():
        name = result["headline"]
        values = [_score(each, name) for each in (result, *(run.get(task) for run in stored[1:]))]
        told.append(
            {
                "task": task,
                "metric": name,
                "arrow": "↑" if result["higher_is_better"] else "↓",
                "values": values,
                "paper": result["paper"],
                "changes": [_change(verdicts.get(task)) for verdicts in found],
            }
        )
    return told


def _score(result: Mapping[str, Any] | None, first: str) -> dict[str, str]:
    """A run's own headline: named where it is not called ``first``, as that of fewer parts is."""
    if result is None:
        return {**dict.fromkeys(FIELDS, ""), "value": "–", "n": "not run"}
    name = result["headline"]
    low, high = result["intervals"].get(name, (None, None))
    value, unscored = result["metrics"].get(name), sum(result["unscored"].values())
    return {
        "metric": name if name != first else "",
        "value": number(value, low, high),
        "interval": interval(low, high, value),
        "n": scored(result),
        "unscored": f"{unscored:,} unscored" if unscored else "",
        "floors": told_floors(floors_of(result, name)),
    }


def _change(line: Line | None) -> dict[str, str]:
    """``sign``: better, worse or nothing, for the eye."""
    if line is None:
        return {"difference": "", "span": "", "verdict": "", "remark": "", "sign": ""}
    told = {"difference": "", "span": "", "verdict": line.verdict, "remark": line.reason}
    told["sign"] = line.verdict if line.verdict in SIGNS else ""
    if line.difference and line.verdict != NOT_COMPARABLE:
        low, high = line.interval or (None, None)
        told["difference"] = signed(line.difference.value, low, high)
        told["span"] = interval(low, high, line.difference.value)
        told["remark"] = line.reason or f"p {probability(line.p or 0.0)}, {line.difference.test}"
    return told


def differing(result: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what the numbers of two runs differ that must be the same on one axis."""
    here, there = result["provenance"], other["provenance"]
    return [key for key in IDENTITY if here.get(key) != there.get(key)]
