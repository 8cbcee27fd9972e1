"""POPE's metrics: which rules read a reply, and which questions each metric counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Metric
from harmon_eval.metrics.shares import Share, Weights, bracketed, mean_of
from harmon_eval.replies import yes_no
from harmon_eval.tasks.pope.files import SPLITS

if TYPE_CHECKING:
    import pandas as pd

OTHER_RULES = {
    "lmms-eval": yes_no.exact,
    "vlmevalkit": yes_no.vlmevalkit,
    "strict": yes_no.strict,
}


def counted(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Rows of the metric's source. A metric of a split counts only that split; one of the strict
    rule counts only replies that the rule can read."""
    source, _, rest = metric.partition("_")
    own = rows["source"] == source
    if (split := rest.partition("_")[0]) in SPLITS:
        own &= rows[split] > 0
    return own & rows["strict"].notna() if rest.endswith("[strict]") else own


def weight(rows: pd.DataFrame, name: str) -> np.ndarray:
    """How often each question counts: in one split, or in all of them."""
    split = name.partition("_")[2].partition("_")[0]
    wanted = [split] if split in SPLITS else list(SPLITS)
    return np.asarray(rows[wanted].sum(axis=1), np.float64)


def share(name_of_score: str) -> Share:
    """Accuracy, precision, recall, F1 or the yes ratio as a share: right cases over all cases.

    F1 is twice the hits over hits, false alarms and misses, where hits count twice."""

    def found(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
        rule = bracketed(name)
        verdict = rows[rule if rule in OTHER_RULES else "parsed"].to_numpy()
        times, truth = weight(rows, name), (rows["label"] == "yes").to_numpy()
        yes, no = verdict == "yes", verdict == "no"
        positive = truth & (yes | no) if rule == "lmms-eval" else truth
        marks, cases = {
            "accuracy": (np.where(truth, yes, no), np.ones(len(rows))),
            "precision": (truth & yes, yes),
            "recall": (truth & yes, positive),
            "f1": (2 * (truth & yes), 1 * yes + positive),
            "yes_ratio": (yes, np.ones(len(rows))),
        }[name_of_score]
        return marks * times, cases * times

    return found


def of_splits(score: str) -> Weights:
    """The mean of the splits of a metric's source."""
    return lambda present, name: mean_of(
        f"{name.partition('_')[0]}_{split}_{score}" for split in SPLITS
    )(present, name)


def percent(name: str, of: Share | None = None, mean_of: Weights | None = None) -> Metric:
    headline = name.startswith("coco_")
    return Metric(name, maximum=100.0, rows=counted, headline=headline, of=of, mean_of=mean_of)


def counting(name: str) -> Metric:
    return Metric(name, None, None, counted, interval=False)


METRICS = (
    percent("coco_f1_macro[*]", mean_of=of_splits("f1")),
    percent("*_f1_macro[*]", mean_of=of_splits("f1")),
    percent("*_acc_macro[*]", mean_of=of_splits("accuracy")),
    percent("*_f1_pooled[*]", share("f1")),
    percent("*_acc_pooled[*]", share("accuracy")),
    *(percent(f"*_{name}", share(name)) for name in ("accuracy", "precision", "recall", "f1")),
    Metric("*_yes_ratio", None, 100.0, counted, of=share("yes_ratio")),
    *map(counting, ("*_unreadable", "*_strict_disagrees")),
)
