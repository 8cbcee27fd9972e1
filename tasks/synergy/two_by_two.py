"""Two-by-two tables of concepts: named or not, drawn or not, with their phi coefficient.

Rows hold ``stratum`` (the tag), ``group`` (the concept), ``side`` ("named" for a reply, "drawn" for
an image) and ``correct``. Phi is Pearson's correlation of two yes-or-no variables (Yule 1912).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from harmon_eval.core import Interval, Metric, Summarize, count
from harmon_eval.metrics.rows import Mask
from harmon_eval.metrics.statistics import bootstrap_intervals
from harmon_eval.tasks.geneval.prompts import TAGS

# A concept counts as named or drawn if more than this share of the responses is right.
HALF = 0.5
CELLS = ("both", "named_only", "drawn_only", "neither")


def in_tables(rows: pd.DataFrame) -> pd.Series:
    """Rows of concepts with scored replies and scored images; only these are in a table."""
    return rows["side"].groupby(rows["group"]).transform("nunique") == 2


def counted(name: str, side: str = "") -> Mask:
    """Rows that the metric ``TAG_name`` counts, on one side or on both."""

    def mask(rows: pd.DataFrame, metric: str) -> pd.Series:
        own = in_tables(rows) & (rows["stratum"] == metric.removesuffix(f"_{name}"))
        return own & (rows["side"] == side) if side else own

    return mask


# Cells, then ``TAG_CELL``. It is neither good nor bad if a concept is on one side only.
BETTER = {"both": True, "named_only": None, "drawn_only": None, "neither": False}
METRICS = (
    *(
        Metric(cell, better, rows=lambda rows, name: in_tables(rows), headline=cell == "both")
        for cell, better in BETTER.items()
    ),
    *(Metric(f"*_{cell}", better, rows=counted(cell)) for cell, better in BETTER.items()),
    Metric("*_phi", None, rows=counted("phi")),
    Metric("*_naming", rows=counted("naming", "named")),
    Metric("*_drawing", rows=counted("drawing", "drawn")),
    count("*_concepts"),
    count("one_sided"),
    count("unreadable"),
)


def concepts(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per concept with scored replies and scored images: the shares that are right."""
    right = rows["correct"].astype(float)
    shares = right.groupby([rows["stratum"], rows["group"], rows["side"]]).mean().unstack()
    return shares.reindex(columns=["named", "drawn"]).dropna().reset_index()


def phi(both: float, named_only: float, drawn_only: float, neither: float) -> float:
    """Pearson's correlation of two yes-or-no variables; NaN if one of them never varies."""
    named, drawn = both + named_only, both + drawn_only
    margins = named * (drawn_only + neither) * drawn * (named_only + neither)
    return (both * neither - named_only * drawn_only) / math.sqrt(margins) if margins else math.nan


def table(own: pd.DataFrame) -> dict[str, float]:
    """The 2 x 2 table of concepts as shares, phi, and the mean shares of right responses."""
    named, drawn = own["named"].to_numpy(), own["drawn"].to_numpy()
    can_name, can_draw = named > HALF, drawn > HALF
    kinds = (can_name & can_draw, can_name & ~can_draw, ~can_name & can_draw, ~can_name & ~can_draw)
    counts = [int(kind.sum()) for kind in kinds]
    shares = {name: count / len(own) for name, count in zip(CELLS, counts, strict=True)}
    rates = {"naming": float(named.mean()), "drawing": float(drawn.mean())}
    return {**shares, "phi": phi(*counts), **rates}


def by_tag(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    parts = {tag: found[found["stratum"] == tag] for tag in TAGS}
    return {tag: own for tag, own in parts.items() if len(own)}


def overall(found: pd.DataFrame) -> dict[str, float]:
    """The unweighted means of the tables of all tags."""
    tables = [table(own) for own in by_tag(found).values()]
    return {name: math.fsum(t[name] for t in tables) / len(tables) for name in CELLS}


def intervals(rows: pd.DataFrame, summarize: Summarize) -> dict[str, Interval]:
    """Bootstrap over concepts within each tag. Counts, and a phi of exactly 1 or -1, get no
    interval."""
    found = concepts(rows)
    spans = bootstrap_intervals(found, overall) if len(found) else {}
    for tag, own in by_tag(found).items():
        spans |= {f"{tag}_{n}": span for n, span in bootstrap_intervals(own, table).items()}
        if abs(table(own)["phi"]) == 1:  # no resample can differ, so its spread is meaningless
            spans.pop(f"{tag}_phi", None)
    return spans


def asymmetric(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Concepts that are only named or only drawn, with what was wrong on the other side."""
    for tag, group, named, drawn in concepts(rows).itertuples(index=False):
        if (named > HALF) != (drawn > HALF):
            own = rows[rows["group"] == group]
            wrong = own[~own["correct"].astype(bool)]
            can = "named_only" if named > HALF else "drawn_only"
            about = {"concept": own["prompt"].iloc[0], "tag": tag, "group": group, "cell": can}
            seen = {"wrong_replies": "reply", "wrong_drawings": "reason"}
            texts = {name: wrong[column].dropna().tolist() for name, column in seen.items()}
            yield {**about, "naming": named, "drawing": drawn, **texts}
