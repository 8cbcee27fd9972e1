"""What every FID task shares: features as rows, FID and KID with their intervals.

A row holds the features of a drawn image and of its reference, so the metrics need the rows alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harmon_eval.core import (
    Answer,
    Instruments,
    Interval,
    Metric,
    Row,
    Summarize,
    Unscorable,
    UserError,
)
from harmon_eval.metrics.fid_images import FeatureNet, feature_batches, read_image
from harmon_eval.metrics.frechet import (
    FrechetStatistics,
    TooFewSamples,
    frechet_distance,
    frechet_distances,
    without_each_group,
)
from harmon_eval.metrics.kid import kid, kid_replicates, squared_mmd
from harmon_eval.metrics.rows import after
from harmon_eval.metrics.statistics import Replicates, jackknife_interval

JACKKNIFE_GROUPS = 20
MIN_KID = 4
CHUNK = 1024
# Protocol and network stand in brackets, and after a slash the category (the stratum of a row).
_category = after("]/", "stratum")
METRICS = (
    Metric("fid[*]", higher_is_better=False, maximum=None, headline=True),
    Metric("fid[*]/*", higher_is_better=False, maximum=None, rows=_category),
    Metric("kid[*]", higher_is_better=False, maximum=None),
    Metric("kid[*]/*", higher_is_better=False, maximum=None, rows=_category, interval=False),
    Metric("kid_standard_error[*]", higher_is_better=None, maximum=None, interval=False),
    Metric("fid_noise_floor[*]", higher_is_better=None, maximum=None, interval=False),
)

logger = logging.getLogger(__name__)


def mark(answers: Sequence[Answer], instruments: Instruments, protocol: str) -> list[Row]:
    """Features of each drawn image and of its reference, (d,) float32.

    Raises Unscorable for an unreadable drawing, UserError for an unreadable reference."""
    net: FeatureNet = instruments["features"]
    drawn = [answer.image for answer in answers]
    references: list[Path] = [answer.sample.target["reference"] for answer in answers]
    try:
        # As one stream: references are decoded while the network sees the drawings.
        batches = list(feature_batches([*drawn, *references], net, protocol))
    except Unscorable:
        _refuse_damaged(references)
        raise
    own, reference = np.split(np.concatenate(batches), 2)
    return [
        {"setting": f"{protocol},{net.name}", "features": f, "reference_features": r}
        for f, r in zip(own, reference, strict=True)
    ]


def _refuse_damaged(references: Sequence[Path]) -> None:
    for reference in references:
        try:
            read_image(reference)
        except Unscorable as error:
            raise UserError(f"a reference image is damaged: {error}; unpack it again") from error


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """All of METRICS that there are enough images for.

    Raises UserError for rows of different protocols."""
    rows = _ordered(rows)
    setting = _setting(rows)
    drawn, reference = rows["features"], rows["reference_features"]
    metrics = {}
    try:
        metrics[f"fid[{setting}]"] = frechet_distance(_statistics(drawn), _statistics(reference))
    except TooFewSamples as error:
        logger.warning("no fid[%s]: %s", setting, error)
    if len(rows) >= MIN_KID:
        result = kid(_stack(drawn), _stack(reference))
        metrics[f"kid[{setting}]"] = result.mean
        metrics[f"kid_standard_error[{setting}]"] = result.standard_error
    try:
        halves = _statistics(reference[0::2]), _statistics(reference[1::2])
        metrics[f"fid_noise_floor[{setting}]"] = frechet_distance(*halves)
    except TooFewSamples:
        logger.debug("%d references are too few for a noise floor", len(rows))
    for category, part in rows.groupby("stratum"):
        metrics |= _category_metrics(part, f"[{setting}]/{category}")
    return metrics


def _category_metrics(rows: pd.DataFrame, name: str) -> dict[str, float]:
    drawn, reference = rows["features"], rows["reference_features"]
    try:
        return {f"fid{name}": frechet_distance(_statistics(drawn), _statistics(reference))}
    except TooFewSamples:
        if len(rows) < MIN_KID:
            return {}
        return {f"kid{name}": squared_mmd(_stack(drawn), _stack(reference))}


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    # Halves, subsets and jackknife groups go by position: one order, whatever the rows came in.
    return rows.sort_values("id", ignore_index=True)


def _setting(rows: pd.DataFrame) -> str:
    settings = sorted(rows["setting"].unique())
    if len(settings) != 1:
        raise UserError(f"rows of different protocols cannot be added up: {', '.join(settings)}")
    return settings[0]


def _stack(vectors: pd.Series) -> np.ndarray:
    return np.stack(vectors.to_list()).astype(np.float32, copy=False)


def _statistics(vectors: pd.Series) -> FrechetStatistics:
    statistics = FrechetStatistics()
    for start in range(0, len(vectors), CHUNK):
        statistics.update(_stack(vectors[start : start + CHUNK]))
    return statistics


def intervals(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """95 % intervals of FID (delete-a-group jackknife over the drawn images) and of KID.

    20 groups, the references fixed: how much FID would vary with another set of drawings. The
    bootstrap would not do, since repeated images lower the rank of the covariance and raise FID.
    The interval is about the FID of this n and does not remove its bias, which goes as 1/n.
    KID: normal, from its standard error."""
    rows = _ordered(rows)
    found = {}
    for name, (value, leave_out) in _left_out(rows).items():
        low, high = jackknife_interval(value, leave_out)
        found[name] = max(0.0, low), high
    if len(rows) >= MIN_KID:
        result = kid(_stack(rows["features"]), _stack(rows["reference_features"]))
        reach = 1.96 * result.standard_error
        found[f"kid[{_setting(rows)}]"] = result.mean - reach, result.mean + reach
    return found


def replicates(rows: pd.DataFrame) -> dict[str, Replicates]:
    """FID without each of 20 groups of drawings, overall and by category, and KID of subsets.

    Groups and subsets go by position in the order of ids, so those of two runs are the same."""
    rows = _ordered(rows)
    found = {n: Replicates.without_groups(values) for n, (_, values) in _left_out(rows).items()}
    if len(rows) >= MIN_KID:
        pair = _stack(rows["features"]), _stack(rows["reference_features"])
        found[f"kid[{_setting(rows)}]"] = kid_replicates(*pair)
    return found


def _left_out(rows: pd.DataFrame) -> dict[str, tuple[float, list[float]]]:
    """FID of all and of each category, and without each group; none where images are too few."""
    setting = _setting(rows)
    found = {}
    parts = {"": rows} | {f"/{name}": part for name, part in rows.groupby("stratum")}
    for name, part in parts.items():
        try:
            value, *leave_out = _with_and_without_groups(part)
        except TooFewSamples:
            continue
        found[f"fid[{setting}]{name}"] = value, leave_out
    return found


def _with_and_without_groups(rows: pd.DataFrame) -> list[float]:
    """FID of all drawings, then with each group of them left out."""
    groups = np.arange(len(rows)) % JACKKNIFE_GROUPS
    sets = without_each_group(_stack(rows["features"]), groups)
    return frechet_distances(
        _statistics(rows["reference_features"]), [_statistics(rows["features"]), *sets]
    )
