"""The part that all FID tasks share: features as rows, and FID and KID with their intervals.

A row holds the features of one generated image and of its reference, so the metrics need only rows.
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
# The brackets hold protocol and network. The category (a row's stratum) follows after a slash.
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
    """Features (d,) float32 of each generated image and of its reference.

    Raises Unscorable for an unreadable generated image, UserError for an unreadable reference."""
    net: FeatureNet = instruments["features"]
    drawn = [answer.image for answer in answers]
    references: list[Path] = [answer.sample.target["reference"] for answer in answers]
    try:
        # In one stream, so that references are decoded while the network runs on generated images.
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
    """Compute every metric in METRICS for which there are enough images.

    Raises UserError for rows from different protocols."""
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
    # Halves, subsets and jackknife groups are chosen by position, so the order must be fixed.
    return rows.sort_values("id", ignore_index=True)


def _setting(rows: pd.DataFrame) -> str:
    settings = sorted(rows["setting"].unique())
    if len(settings) != 1:
        raise UserError(f"rows of different protocols cannot be combined: {', '.join(settings)}")
    return settings[0]


def _stack(vectors: pd.Series) -> np.ndarray:
    return np.stack(vectors.to_list()).astype(np.float32, copy=False)


def _statistics(vectors: pd.Series) -> FrechetStatistics:
    statistics = FrechetStatistics()
    for start in range(0, len(vectors), CHUNK):
        statistics.update(_stack(vectors[start : start + CHUNK]))
    return statistics


def intervals(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """95 % intervals of FID (delete-a-group jackknife over the generated images) and of KID.

    The jackknife uses 20 groups and keeps the references fixed: it shows how much FID would vary
    with another set of generated images. A bootstrap does not work here, because repeated images
    lower the rank of the covariance and raise FID. The interval is for FID at this n; it does not
    remove the bias, which is proportional to 1/n. KID's interval is normal, from its standard
    error."""
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
    """FID with each of 20 groups of images left out, overall and by category, and KID of subsets.

    Groups and subsets are chosen by position after sorting by id, so they match between runs."""
    rows = _ordered(rows)
    found = {n: Replicates.without_groups(values) for n, (_, values) in _left_out(rows).items()}
    if len(rows) >= MIN_KID:
        pair = _stack(rows["features"]), _stack(rows["reference_features"])
        found[f"kid[{_setting(rows)}]"] = kid_replicates(*pair)
    return found


def _left_out(rows: pd.DataFrame) -> dict[str, tuple[float, list[float]]]:
    """FID overall and by category, each also without each group; omitted if images are too few."""
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
    """FID of all generated images, then with each group left out."""
    groups = np.arange(len(rows)) % JACKKNIFE_GROUPS
    sets = without_each_group(_stack(rows["features"]), groups)
    return frechet_distances(
        _statistics(rows["reference_features"]), [_statistics(rows["features"]), *sets]
    )
