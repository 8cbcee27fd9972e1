"""How GEdit-Bench's scores add up, and what is asked of the judge.

Protocol: stepfun-ai/Step1X-Edit @ 570eba6, GEdit-Bench, which judges with VIEScore's prompts
(TIGER-AI-Lab/VIEScore @ 2cbea4e).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Ask, Row
from harmon_eval.files.images import size_of
from harmon_eval.files.judged_images import as_jpeg
from harmon_eval.replies.viescore import Unread, fate
from harmon_eval.tasks.gedit.files import GROUPS

if TYPE_CHECKING:
    import pandas as pd

MAX_TOKENS = 1400
PLACEHOLDER = "<instruction>"
SCORES = ("SC", "PQ", "O")


RUBRICS = {"semantic": PLACEHOLDER, "quality": ""}


def asks(target: Row, source: Path, result: Path | None) -> list[Ask]:
    """The semantic and the perceptual request about a result (None: not there yet).

    The judge sees JPEG files of quality 75, the result at the source's size."""
    semantic = target["semantic"].replace(PLACEHOLDER, target["instruction"])
    if result is None:
        return [Ask(semantic, (), MAX_TOKENS), Ask(target["quality"], (), MAX_TOKENS)]
    before = as_jpeg(source)
    after = as_jpeg(result, size_of(source))
    return [
        Ask(semantic, (before, after), MAX_TOKENS),
        Ask(target["quality"], (after,), MAX_TOKENS),
    ]


def overall(semantic: float, perceptual: float) -> float:
    """O of one image: the geometric mean of SC and PQ."""
    return math.sqrt(semantic * perceptual)


def scores(semantic: float, perceptual: float) -> Row:
    """SC, PQ and O of one image, 0 to 10."""
    return {"SC": semantic, "PQ": perceptual, "O": overall(semantic, perceptual)}


def original_fates(replies: Sequence[str]) -> Row:
    """What the original makes of these replies: a random number, or a loop without an end."""
    found = [fate(reply) for reply in replies]
    return {
        "original_guesses": Unread.GUESS in found,
        "original_loops": Unread.AGAIN in found,
    }


# -- adding up -----------------------------------------------------------------------------------


def group_means(rows: pd.DataFrame, score: str) -> dict[str, float]:
    """Mean of a score in each of GROUPS; NaN for a group without a row."""
    import pandas as pd

    places = pd.Index(GROUPS).get_indexer(rows["task_type"])
    sizes = np.bincount(places, minlength=len(GROUPS))
    sums = np.bincount(places, weights=rows[score].to_numpy(float), minlength=len(GROUPS))
    return {
        group: float(total / size) if size else math.nan
        for group, total, size in zip(GROUPS, sums, sizes, strict=True)
    }


def published_average(rows: pd.DataFrame, score: str) -> float:
    """The original's figure: the unweighted mean of all 11 groups, NaN if one has no row."""
    return float(np.mean(list(group_means(rows, score).values())))


def totals(rows: pd.DataFrame, name: str, label: str) -> dict[str, float]:
    """The averages over groups, as ``NAME[LABEL]`` (O), ``NAME_SC`` and ``NAME_PQ``.

    Groups without rows are left out, and then the label says how many are there."""
    import pandas as pd

    if rows.empty:
        return {}
    means = {score: group_means(rows, score) for score in SCORES}
    sizes = np.bincount(pd.Index(GROUPS).get_indexer(rows["task_type"]), minlength=len(GROUPS))
    there = [group for group, size in zip(GROUPS, sizes, strict=True) if size]
    if len(there) < len(GROUPS):
        label += f", {len(there)} of {len(GROUPS)} groups"
    found = {score: float(np.mean([means[score][g] for g in there])) for score in SCORES}
    return {
        f"{name}[{label}]": found["O"],
        f"{name}_SC[{label}]": found["SC"],
        f"{name}_PQ[{label}]": found["PQ"],
    }
