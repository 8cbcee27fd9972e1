"""Differences between two settings, paired sample by sample, and which settings lose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harmon_eval.core import Interval
from harmon_eval.scoring.frechet import FrechetStatistics, frechet_distances, without_each_group
from harmon_eval.statistics import bootstrap_intervals, jackknife_interval

FULL = "full"
FOLDS = 20
GENEVAL_MARGIN = 0.03  # of the overall score: about what two drawings of GenEval-mini resolve
FID_MARGIN = 0.1  # share of the full setting's FID


def compared(
    name: str,
    full: Mapping[str, pd.DataFrame],
    other: Mapping[str, pd.DataFrame],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    change, interval = geneval_difference(full["geneval"], other["geneval"])
    fid, fid_change, fid_interval = fid_difference(full["mjhq"], other["mjhq"])
    return {
        "setting": name,
        "seconds": seconds[name],
        "speed": seconds[FULL] / seconds[name],
        "geneval": overall(other["geneval"], "correct"),
        "geneval_change": change,
        "geneval_interval": interval,
        "fid": fid,
        "fid_change": fid_change,
        "fid_interval": fid_interval,
        "full_fid": fid - fid_change,
        "drawings": {task: len(rows) for task, rows in other.items()},
    }


def overall(rows: pd.DataFrame, column: str) -> float:
    """GenEval's overall score, the mean of the tags' means, of a column of verdicts."""
    return float(rows.groupby("tag")[column].mean().mean())


def geneval_difference(full: pd.DataFrame, other: pd.DataFrame) -> tuple[float, Interval]:
    """Other less full, with the paired interval over prompts."""
    rows = full.assign(full=full["correct"].astype(float))
    rows = rows.merge(
        pd.DataFrame({"id": other["id"], "other": other["correct"].astype(float)}), on="id"
    )

    def difference(rows: pd.DataFrame) -> dict[str, float]:
        # Off by 2, since the bootstrap takes a constant 0 or 1 for a proportion.
        return {"difference": 2 + overall(rows, "other") - overall(rows, "full")}

    value = difference(rows)["difference"] - 2
    low, high = bootstrap_intervals(rows, difference)["difference"]
    return value, (low - 2, high - 2)


def fid_difference(full: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float, Interval]:
    """FID of the other, and other less full with the paired interval over folds of prompts."""
    other = other.set_index("id").loc[full["id"]]
    folds = np.arange(len(full)) % FOLDS
    columns = (full["reference_features"], full["features"], other["features"])
    arrays = [np.stack(list(column)) for column in columns]
    reference, *drawn = (FrechetStatistics.of(array) for array in arrays)
    before, after = frechet_distances(reference, drawn)
    left = []
    for out_reference, *out in zip(*(without_each_group(a, folds) for a in arrays), strict=True):
        one, two = frechet_distances(out_reference, out)
        left.append(two - one)
    return after, after - before, jackknife_interval(after - before, left)


def no_evidence_of_loss(row: Mapping[str, Any]) -> bool:
    """Both intervals stay within the margins: enough samples, and no loss beyond them."""
    return bool(
        row["geneval_interval"][0] >= -GENEVAL_MARGIN
        and row["fid_interval"][1] <= FID_MARGIN * row["full_fid"]
    )


def candidates(screened: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings that are faster and lose no more than the margins so far, the fastest first."""
    kept = [
        row
        for row in screened
        if row["speed"] > 1
        and row["geneval_change"] >= -GENEVAL_MARGIN
        and row["fid_change"] <= FID_MARGIN * row["full_fid"]
    ]
    return [row["setting"] for row in sorted(kept, key=lambda row: -row["speed"])]
