"""Contrasts between two tasks of one run: the same kind of prompts, published and fresh.

A model that was trained on the published prompts scores higher there than on fresh ones. The two
tasks have different prompts, so the interval of the difference follows from both intervals (MOVER:
Zou & Donner 2008), and p from widening them until one end is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from harmon_eval import registry
from harmon_eval.core import Interval, UserError
from harmon_eval.metrics.text import interval, signed
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.store.tables import results_by_task

ALPHA = 0.05


@dataclass(frozen=True)
class Contrast:
    """``value``: the metric of ``task`` minus that of ``fresh``, with its 95 % interval and
    two-sided p."""

    task: str
    fresh: str
    metric: str
    value: float
    interval: Interval
    p: float

    def __str__(self) -> str:
        told = (
            "the published prompts are easier for this model than fresh ones of the same kind: a "
            "sign that it was trained on them"
            if self.p <= ALPHA and self.value > 0
            else "fresh prompts are easier, which is no sign of training on the published ones"
            if self.p <= ALPHA
            else "no evidence of training on the published prompts"
        )
        difference = signed(self.value, *self.interval)
        return (
            f"{self.task} - {self.fresh}, {self.metric}: {difference} "
            f"{interval(*self.interval, self.value)}, p {self.p:.3f}: {told}"
        )


def contrasts(results: Mapping[str, Mapping[str, Any]]) -> list[Contrast]:
    """The headlines of all pairs of tasks in ``results`` (task -> stored result) that were made to
    be contrasted (``Task.contrast``)."""
    found = []
    for fresh, second in results.items():
        try:
            name = registry.task(fresh).contrast
        except UserError:  # the task is one that only its own run knew
            continue
        # A variant is contrasted with the same variant, such as other thresholds.
        name += "".join(fresh.partition(":")[1:]) if name else ""
        first = results.get(name)
        if first is None or first["headline"] != second["headline"]:
            continue
        metric = str(first["headline"])
        ends = [result["intervals"].get(metric) for result in (first, second)]
        values = [result["metrics"].get(metric) for result in (first, second)]
        if None in ends or None in values:
            continue
        found.append(_between(name, fresh, metric, values, ends))
    return found


def _between(task: str, fresh: str, metric: str, values: list[Any], ends: list[Any]) -> Contrast:
    (one, two), ((low, high), (other_low, other_high)) = values, ends
    below = float(np.hypot(one - low, other_high - two))
    above = float(np.hypot(high - one, two - other_low))
    value = one - two
    reach = below if value > 0 else above
    z = abs(value) / reach * special.ndtri(1 - ALPHA / 2) if reach else 0.0
    p = float(2 * special.ndtr(-z))
    return Contrast(task, fresh, metric, value, (value - below, value + above), p)


def lines(path: Path) -> list[str]:
    """The contrasts of a run folder as text. Raises UserError for what is no run folder."""
    return [str(found) for found in contrasts(results_by_task(RunFolder(path)))]
