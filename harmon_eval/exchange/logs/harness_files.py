"""What lm-eval and lmms-eval write alike: a file of results, and one of samples for each task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmon_eval.core import UserError
from harmon_eval.exchange.logs.log import numbers, objects, parsed, text_of

NO_FILTER = "none"


@dataclass(frozen=True)
class Layout:
    """Names of the files, with the groups ``date`` and, of samples, ``task``; and the keys that
    results and samples have in every version that is known. ``option``: what writes samples."""

    tool: str
    results: re.Pattern[str]
    samples: re.Pattern[str]
    has: frozenset[str]
    sample_has: frozenset[str]
    option: str


@dataclass(frozen=True)
class Written:
    """``samples``: the file of each task."""

    results: Mapping[str, Any]
    config: Mapping[str, Any]
    samples: Mapping[str, Path]

    def stated(self, task: str) -> dict[str, float]:
        """``METRIC,FILTER`` -> total, without errors; the filter ``none`` is left out of names."""
        metrics = self.results["results"].get(task)
        if not isinstance(metrics, dict):
            return {}
        kept = {k: v for k, v in metrics.items() if "," in k and "_stderr" not in k}
        return {named(*k.split(",", 1)): v for k, v in numbers(kept).items()}

    def lower(self, task: str) -> set[str]:
        """Metrics where less is better."""
        better = (self.results.get("higher_is_better") or {}).get(task)
        return {m for m, up in better.items() if up is False} if isinstance(better, dict) else set()


def named(metric: str, by: str) -> str:
    return metric if by == NO_FILTER else f"{metric},{by}"


def opened(place: Path, layout: Layout) -> Written | None:
    """None for what has another name. Raises UserError for a log of another version, or without
    samples."""
    if not (match := layout.results.fullmatch(place.name)):
        return None
    results = parsed(text_of(place), place)
    if not isinstance(results, dict) or (lacking := layout.has - results.keys()):
        told = ", ".join(sorted(layout.has if not isinstance(results, dict) else lacking))
        raise UserError(f"{place} is not a result of {layout.tool}: it lacks {told}")
    if not isinstance(results["results"], dict):
        raise UserError(f"{place} is not a result of {layout.tool}: results is no object")
    samples = {}
    for file in sorted(place.parent.glob("*.jsonl")):
        named_so = layout.samples.fullmatch(file.name)
        if named_so and named_so["date"] == match["date"]:
            samples[named_so["task"]] = file
    if not samples:
        raise UserError(f"{place} has no samples beside it: run {layout.option}")
    config = results.get("config")
    return Written(results, config if isinstance(config, dict) else {}, samples)


def rows(file: Path, layout: Layout) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and content of each line. Raises UserError for one that is no sample of the tool."""
    for line, row in enumerate(objects(file), start=1):
        if lacking := layout.sample_has - row.keys():
            raise UserError(f"{file}, line {line} has no {min(lacking)!r}: not {layout.tool}'s")
        yield line, row
