"""The part that all FID tasks share: features as rows, and FID and KID with their intervals.

A row holds the features of one generated image and of its reference, so the metrics need only rows.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
from harmon_eval.metrics.fid_pairs import (
    REPEATS,
    Repeated,
    fid,
    fid_infinity,
    fid_replicates,
    matched_contrast,
    subset_sizes,
)
from harmon_eval.metrics.frechet import TooFewSamples
from harmon_eval.metrics.kid import MINIMUM, kid, kid_replicates
from harmon_eval.metrics.rows import after
from harmon_eval.metrics.statistics import Replicates, jackknife_interval

if TYPE_CHECKING:
    import pandas as pd

MIN_CATEGORY_KID = 50  # images; with fewer, the interval of a category says nothing
# The brackets hold protocol and network. The category (a row's stratum) follows after a slash.
_category = after("]/", "stratum")
METRICS = (
    Metric("fid[*]", higher_is_better=False, maximum=None, headline=True),
    Metric("fid[*]/*", higher_is_better=False, maximum=None, rows=_category),
    Metric("fid_infinity[*]", higher_is_better=False, maximum=None),
    Metric("fid_infinity_spread[*]", higher_is_better=None, maximum=None, interval=False),
    Metric("fid_matched[*]", higher_is_better=False, maximum=None),
    Metric("fid_matched_spread[*]", higher_is_better=None, maximum=None, interval=False),
    Metric("kid[*]", higher_is_better=False, maximum=None, fallback=True),
    Metric("kid[*]/*", higher_is_better=False, maximum=None, rows=_category),
    Metric("kid_standard_error[*]", higher_is_better=None, maximum=None, interval=False),
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
    metrics, reason = _numbers(_ordered(rows))
    if reason:
        logger.warning("%s", reason)
    return metrics


def _numbers(rows: pd.DataFrame) -> tuple[dict[str, float], str]:
    """The metrics of rows in order, and why FID is not among them (empty if it is)."""
    setting, reason = _setting(rows), ""
    drawn, reference, prompts = _pairs(rows)
    metrics = {}
    try:
        metrics[f"fid[{setting}]"] = fid(drawn, reference)
    except TooFewSamples as error:
        reason = f"no fid[{setting}]: {error}"
    if infinity := _infinity(drawn, reference):
        metrics[f"fid_infinity[{setting}]"] = infinity.value
        metrics[f"fid_infinity_spread[{setting}]"] = infinity.spread
    if contrast := _contrast(drawn, reference, prompts):
        metrics[f"fid_matched[{setting}]"] = contrast[0].value
        metrics[f"fid_matched_spread[{setting}]"] = contrast[0].spread
    if len(np.unique(prompts)) >= MINIMUM:
        result = kid(drawn, reference, prompts)
        metrics[f"kid[{setting}]"] = result.mean
        metrics[f"kid_standard_error[{setting}]"] = result.standard_error
    for category, part in rows.groupby("stratum"):
        metrics |= _category_metrics(part, f"[{setting}]/{category}")
    return metrics, reason


def _infinity(drawn: np.ndarray, reference: np.ndarray) -> Repeated | None:
    try:
        return fid_infinity(drawn, reference)
    except TooFewSamples as error:
        logger.debug("%s", error)
        return None


def _contrast(
    drawn: np.ndarray, reference: np.ndarray, prompts: np.ndarray
) -> tuple[Repeated, Replicates] | None:
    try:
        return matched_contrast(drawn, reference, prompts)
    except TooFewSamples as error:
        logger.debug("no contrast of halves: %s", error)
        return None


def _category_metrics(rows: pd.DataFrame, name: str) -> dict[str, float]:
    drawn, reference, prompts = _pairs(rows)
    try:
        return {f"fid{name}": fid(drawn, reference)}
    except TooFewSamples:
        if len(np.unique(prompts)) < MIN_CATEGORY_KID:
            return {}
        return {f"kid{name}": kid(drawn, reference, prompts).mean}


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


def _pairs(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of images and of references, both (n, d), and what rows share a prompt, (n,).

    Where rows hold their prompts, a prompt that stands under two keys is one prompt."""
    prompts = next(rows[name] for name in ("prompt", "group", "id") if name in rows)
    return _stack(rows["features"]), _stack(rows["reference_features"]), prompts.to_numpy(str)


def intervals(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """95 % intervals: t, from the delete-a-group jackknife over prompts (Shao & Tu 1995, 2.3).

    The 20 groups are left out of images and references alike: the intervals show how much a metric
    would vary with other prompts like these. A bootstrap does not work here, because repeated
    images lower the rank of the covariance and raise FID. The interval of FID is for FID at this n;
    it does not remove the bias, which is proportional to 1/n. The error of ``fid_infinity`` is that
    of FID, which has the same first-order term, together with that of its random subsets."""
    rows = _ordered(rows)
    setting = _setting(rows)
    values = _numbers(rows)[0]
    found = {}
    for name, parts in replicates(rows).items():
        spread = values[f"fid_infinity_spread[{setting}]"] if "_infinity[" in name else 0.0
        low, high = jackknife_interval(
            values[name], parts.values.tolist(), spread / np.sqrt(REPEATS)
        )
        # A distance cannot be negative, but estimates without its bias can.
        found[name] = max(0.0, low) if name.startswith("fid[") else low, high
    return found


def replicates(rows: pd.DataFrame) -> dict[str, Replicates]:
    """Every metric that has an interval, without each group of prompts; FID∞ as FID itself.

    Groups are chosen by position after sorting by id, so they match between runs."""
    rows = _ordered(rows)
    setting = _setting(rows)
    drawn, reference, prompts = _pairs(rows)
    found = {}
    with suppress(TooFewSamples):
        found[f"fid[{setting}]"] = fid_replicates(drawn, reference, prompts)
        subset_sizes(*drawn.shape)
        found[f"fid_infinity[{setting}]"] = found[f"fid[{setting}]"]
    if contrast := _contrast(drawn, reference, prompts):
        found[f"fid_matched[{setting}]"] = contrast[1]
    if len(np.unique(prompts)) >= MINIMUM:
        found[f"kid[{setting}]"] = kid_replicates(drawn, reference, prompts)
    for category, part in rows.groupby("stratum"):
        found |= _category_replicates(part, f"[{setting}]/{category}")
    return found


def _category_replicates(rows: pd.DataFrame, name: str) -> dict[str, Replicates]:
    drawn, reference, prompts = _pairs(rows)
    if len(rows) >= drawn.shape[1]:
        with suppress(TooFewSamples):
            return {f"fid{name}": fid_replicates(drawn, reference, prompts)}
    elif len(np.unique(prompts)) >= MIN_CATEGORY_KID:
        return {f"kid{name}": kid_replicates(drawn, reference, prompts)}
    return {}
