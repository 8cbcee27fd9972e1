"""From the features of drawn images to FID, KID and what else papers print beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Interval, Metric, Sample, Summarize, UserError, count
from harmon_eval.metrics import fid_sets, sets
from harmon_eval.metrics.fid_pairs import REPEATS
from harmon_eval.metrics.fid_sets import NEIGHBOURS
from harmon_eval.metrics.frechet import FrechetStatistics, TooFewSamples
from harmon_eval.metrics.statistics import Replicates, jackknife_interval
from harmon_eval.metrics.text import counted
from harmon_eval.tasks.fidelity import files, references

if TYPE_CHECKING:
    import pandas as pd

K = f"k={NEIGHBOURS}"
COUNTS = ("images", "references", "compared")
METRICS = (
    Metric("fid[*]", higher_is_better=False, maximum=None, headline=True),
    Metric("fid_infinity[*]", higher_is_better=False, maximum=None),
    Metric("fid_infinity_spread[*]", higher_is_better=None, maximum=None, interval=False),
    Metric("kid[*]", higher_is_better=False, maximum=None, fallback=True),
    Metric("cmmd[*]", higher_is_better=False, maximum=None, interval=False),
    Metric(f"precision[{K},*]", interval=False),
    Metric(f"recall[{K},*]", interval=False),
    Metric(f"density[{K},*]", maximum=None, interval=False),
    Metric(f"coverage[{K},*]", interval=False),
    Metric("vendi[*]", maximum=None, interval=False),
    Metric("vendi_reference[*]", higher_is_better=None, maximum=None, interval=False),
    *map(count, COUNTS),
)

logger = logging.getLogger(__name__)


def _parts(rows: pd.DataFrame) -> tuple[str, np.ndarray, references.Reference]:
    """The setting, features of the drawn images (n, d) in order, and the reference."""
    rows = rows.sort_values("id", ignore_index=True)
    settings = sorted(set(rows["setting"])), sorted(set(rows["reference"]))
    if any(len(values) != 1 for values in settings):
        raise UserError("rows of different protocols or references cannot be combined")
    features = np.stack(rows["features"].to_list()).astype(np.float32, copy=False)
    return settings[0][0], features, references.load(settings[1][0])


def summarize(rows: pd.DataFrame) -> dict[str, float]:
    """All of METRICS for which there are enough images, and features of the reference. Says why
    there is no FID, or no KID."""
    found, reasons = _numbers(rows)
    for reason in reasons:
        logger.warning("%s", reason)
    return found


def _numbers(rows: pd.DataFrame) -> tuple[dict[str, float], list[str]]:
    """The numbers, and why FID or KID is not among them."""
    setting, drawn, reference = _parts(rows)
    found: dict[str, float] = {}
    reasons = []
    try:
        found[f"fid[{setting}]"] = fid_sets.fid(drawn, reference.statistics)
    except TooFewSamples as error:
        told = "" if reference.count is None else f" and {counted(reference.count, 'reference')}"
        own = counted(len(drawn), "drawn image")
        reasons.append(f"no fid[{setting}] of {own}{told}: {error}")
    with suppress(TooFewSamples):
        infinity = fid_sets.fid_infinity(drawn, reference.statistics)
        found[f"fid_infinity[{setting}]"] = infinity.value
        found[f"fid_infinity_spread[{setting}]"] = infinity.spread
    found[f"vendi[{setting}]"] = sets.vendi(drawn)
    found["images"] = float(len(drawn))
    if reference.count is not None:
        found["references"] = float(reference.count)
    if reference.features is not None:
        found |= _by_features(drawn, reference.features, setting)
        try:
            found[f"kid[{setting}]"] = fid_sets.kid(drawn, reference.features)[0]
        except UserError as error:  # fewer images than it needs
            reasons.append(f"no kid[{setting}]: {error}")
    return found, reasons


def _by_features(drawn: np.ndarray, reference: np.ndarray, setting: str) -> dict[str, float]:
    """What needs every vector of the reference, but for KID."""
    found = {f"vendi_reference[{setting}]": sets.vendi(reference)}
    with suppress(UserError):
        near = fid_sets.neighbours(drawn, reference)
        names = {name: f"{name}[{K},{setting}]" for name in vars(near.measures)}
        found |= {names[name]: value for name, value in vars(near.measures).items()}
        found["compared"] = float(near.compared)
    if setting.startswith(CMMD):
        found[f"cmmd[{setting}]"] = sets.cmmd(reference, drawn)
    return found


CMMD = "square,"  # how CMMD's network is fed, whose unit vectors its kernel is made for


def replicates(rows: pd.DataFrame) -> Mapping[str, Replicates]:
    """FID and KID without each group of drawn images; FID∞ as FID itself."""
    setting, drawn, reference = _parts(rows)
    found = {}
    with suppress(TooFewSamples):
        found[f"fid[{setting}]"] = fid_sets.fid_replicates(drawn, reference.statistics)
        found[f"fid_infinity[{setting}]"] = found[f"fid[{setting}]"]
    if reference.features is not None:
        with suppress(UserError):
            found[f"kid[{setting}]"] = fid_sets.kid(drawn, reference.features)[1]
    return found


def intervals(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """95 % t intervals from the jackknife: how much a number would vary with other drawn images
    against the same reference. They do not remove the bias of FID, which goes with 1/n."""
    values, found = _numbers(rows)[0], {}
    for name, parts in replicates(rows).items():
        if name not in values:
            continue
        spread = values.get(name.replace("infinity[", "infinity_spread["), 0.0)
        spread = spread / np.sqrt(REPEATS) if "_infinity[" in name else 0.0
        low, high = jackknife_interval(values[name], parts.values.tolist(), spread)
        found[name] = (max(0.0, low) if name.startswith("fid[") else low, high)
    return found


def files_after(drawn: Sequence[Sample], rows: pd.DataFrame) -> dict[str, bytes]:
    """``statistics.npz`` of the drawn images, which clean-fid and pytorch-fid read too."""
    setting, features, _ = _parts(rows)
    if len(features) < 2:
        return {}
    own = FrechetStatistics.of(features)
    content = files.statistics_file(own.mean, own.covariance, own.count, setting)
    return {"statistics.npz": content}
