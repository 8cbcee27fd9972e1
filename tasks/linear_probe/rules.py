"""The metrics of the linear probe, and which images each metric counts."""

from __future__ import annotations

import pandas as pd

from harmon_eval.core import Metric
from harmon_eval.instruments.probing.shares import FACT, RANK
from harmon_eval.metrics.rows import Mask


def counted(first: int) -> Mask:
    """The test images that ``top1[PROBE]`` or ``top5[PROBE]`` counts, in all sets or in ``/SET``.

    A set needs more than ``first`` classes to have this metric."""

    def mask(rows: pd.DataFrame, name: str) -> pd.Series:
        probe, source = name.removeprefix(f"top{first}"), ""
        if RANK + probe not in rows:
            probe, _, source = probe.partition("/")
        own = (rows["split"] == "val") & rows[RANK + probe].notna()
        own &= rows[f"{FACT}classes"] > first
        return own & (rows["source"] == source) if source else own

    return mask


def known(rows: pd.DataFrame, name: str) -> pd.Series:
    """The test images of the set that the metric's probe was fitted for."""
    fact, _, source = name.partition("/")
    own = rows[FACT + fact].notna()
    return own & (rows["source"] == source) if source else own


METRICS = (
    Metric("top1[*]", maximum=100.0, rows=counted(1), headline=True),
    Metric("top1[*]*", maximum=100.0, rows=counted(1)),
    Metric("top5[*]*", maximum=100.0, rows=counted(5)),
    Metric("majority*", None, maximum=100.0, rows=known, interval=False),
    # Facts about the fits: dimension, penalty, loss, iterations ...
    Metric("*", None, maximum=None, rows=known, interval=False),
)
