"""POPE's metrics: which rules read a reply, and which questions each metric counts."""

from __future__ import annotations

import pandas as pd

from harmon_eval.core import Metric
from harmon_eval.replies import yes_no
from harmon_eval.tasks.pope.files import SPLITS

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


def percent(name: str, headline: bool = False) -> Metric:
    return Metric(name, maximum=100.0, rows=counted, headline=headline)


def neither(name: str, maximum: float | None) -> Metric:
    """A metric that is neither good nor bad. Without a maximum it is a count."""
    return Metric(name, None, maximum, counted, interval=maximum is not None)


METRICS = (
    percent("coco_f1_macro[*]", headline=True),
    *map(percent, ("*_f1_macro[*]", "*_acc_macro[*]", "*_f1_pooled[*]", "*_acc_pooled[*]")),
    *map(percent, ("*_accuracy", "*_precision", "*_recall", "*_f1")),
    neither("*_yes_ratio", 100.0),
    neither("*_unreadable", None),
    neither("*_strict_disagrees", None),
)
