"""Differences between two settings, paired sample by sample, and which settings are no worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harmon_eval import registry
from harmon_eval.comparing.paired import Difference, differences
from harmon_eval.comparing.verdict import CANNOT_TELL, NO_WORSE, WORSE, outcome
from harmon_eval.running.results import headline

FULL = "full"
GENEVAL_MARGIN = 0.02  # of the overall score
FID_MARGIN = 0.05  # as a share of the full setting's FID


def compared(
    name: str,
    full: Mapping[str, pd.DataFrame],
    other: Mapping[str, pd.DataFrame],
    seconds: Mapping[str, float],
    census: Sequence[str] = (),
) -> dict[str, Any]:
    """A row of the table: the headlines of both tasks and their differences to the full setting.

    ``census``: the tags of GenEval of which every prompt there is was drawn."""
    tasks = ("geneval", "mjhq")
    geneval, fid = (difference(task, full[task], other[task], census) for task in tasks)
    return {
        "setting": name,
        "seconds": seconds[name],
        "speed": seconds[FULL] / seconds[name],
        "geneval": geneval.candidate,
        "geneval_change": geneval.value,
        "geneval_interval": geneval.interval,
        "fid": fid.candidate,
        "fid_change": fid.value,
        "fid_interval": fid.interval,
        "full_fid": fid.baseline,
        "drawings": {task: len(rows) for task, rows in other.items()},
    }


def difference(
    name: str, full: pd.DataFrame, other: pd.DataFrame, census: Sequence[str] = ()
) -> Difference:
    """What ``compare`` finds for a task's headline, other minus full. Of tags in ``census``, the
    drawings are the sample. Raises UserError for rows of other protocols."""
    task = registry.task(name)
    metric = headline(task, task.summarize(full))
    return differences(task, full, other, frozenset({metric}), strata=census)[metric]


def verdict(row: Mapping[str, Any]) -> str:
    """What ``compare --no-worse-than`` says of both headlines, with the margins above."""
    if row["setting"] == FULL:
        return NO_WORSE
    (low, high), (least, most) = row["geneval_interval"], row["fid_interval"]
    found = {
        outcome(low, high, GENEVAL_MARGIN),
        outcome(-most, -least, FID_MARGIN * row["full_fid"]),
    }
    return next(word for word in (WORSE, CANNOT_TELL, NO_WORSE) if word in found)


def candidates(screened: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings that are faster and so far lose no more than the margins, fastest first."""
    kept = [
        row
        for row in screened
        if row["geneval_change"] >= -GENEVAL_MARGIN
        and row["fid_change"] <= FID_MARGIN * row["full_fid"]
    ]
    return by_speed(kept)


def by_speed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings that are faster than the full one, fastest first."""
    faster = [row for row in rows if row["speed"] > 1]
    return [row["setting"] for row in sorted(faster, key=lambda row: -row["speed"])]
