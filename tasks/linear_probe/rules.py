"""What the numbers of the linear probe mean, and which images each of them counts."""

from __future__ import annotations

import pandas as pd

from harmon_eval.core import Metric
from harmon_eval.instruments.probing.shares import FACT, RANK
from harmon_eval.metrics.rows import Mask


def counted(first: int) -> Mask:
    """Test images that ``top1[PROBE]`` or ``top5[PROBE]`` judges, of all sets or of ``/SET``.

    A set without more classes than ``first`` has no such share."""

    def mask(rows: pd.DataFrame, name: str) -> pd.Series:
        probe, source = name.removeprefix(f"top{first}"), ""
        if RANK + probe not in rows:
            probe, _, source = probe.partition("/")
        own = (rows["split"] == "val") & rows[RANK + probe].notna()
        own &= rows[f"{FACT}classes"] > first
        return own & (rows["source"] == source) if source else own

    return mask


def known(rows: pd.DataFrame, name: str) -> pd.Series:
    """Test images of the set about whose probes a number is."""
    fact, _, source = name.partition("/")
    own = rows[FACT + fact].notna()
    return own & (rows["source"] == source) if source else own


METRICS = (
    Metric("top1[*]", maximum=100.0, rows=counted(1), headline=True),
    Metric("top1[*]*", maximum=100.0, rows=counted(1)),
    Metric("top5[*]*", maximum=100.0, rows=counted(5)),
    Metric("majority*", None, maximum=100.0, rows=known, interval=False),
    # What the fits say of themselves: dimension, penalty, loss, iterations ...
    Metric("*", None, maximum=None, rows=known, interval=False),
)
