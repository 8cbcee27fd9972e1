"""The metrics of the linear probe, and which images each metric counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harmon_eval.core import Metric
from harmon_eval.instruments.probing.shares import FACT, RANK
from harmon_eval.metrics.rows import Mask
from harmon_eval.metrics.shares import Share, evenly

if TYPE_CHECKING:
    import pandas as pd


def probe_of(rows: pd.DataFrame, name: str, first: int) -> str:
    """The probe that the metric names, with the part of the features, without the set."""
    whole = name.removeprefix(f"top{first}")
    return whole if RANK + whole in rows else whole.partition("/")[0]


def counted(first: int) -> Mask:
    """The test images that ``top1[PROBE]`` or ``top5[PROBE]`` counts, in all sets or in ``/SET``.

    A set needs more than ``first`` classes to have this metric."""

    def mask(rows: pd.DataFrame, name: str) -> pd.Series:
        probe = probe_of(rows, name, first)
        source = name.removeprefix(f"top{first}{probe}").removeprefix("/")
        own = (rows["split"] == "val") & rows[RANK + probe].notna()
        own &= rows[f"{FACT}classes"] > first
        return own & (rows["source"] == source) if source else own

    return mask


def known(rows: pd.DataFrame, name: str) -> pd.Series:
    """The test images of the set that the metric's probe was fitted for."""
    fact, _, source = name.partition("/")
    own = rows[FACT + fact].notna()
    return own & (rows["source"] == source) if source else own


def ranked(first: int) -> Share:
    """Whether the right class is among the ``first``; each set weighs the same."""

    def found(rows: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
        own = counted(first)(rows, name).to_numpy(bool)
        ranks = rows[RANK + probe_of(rows, name, first)].to_numpy(np.float64)
        return evenly(own & (ranks < first), own.astype(float), rows["source"])

    return found


METRICS = (
    Metric("top1[*]", maximum=100.0, rows=counted(1), of=ranked(1), headline=True),
    Metric("top1[*]*", maximum=100.0, rows=counted(1), of=ranked(1)),
    Metric("top5[*]*", maximum=100.0, rows=counted(5), of=ranked(5)),
    Metric("majority*", None, maximum=100.0, rows=known, interval=False),
    # Facts about the fits: dimension, penalty, loss, iterations ...
    Metric("*", None, maximum=None, rows=known, interval=False),
)
