"""Two-by-two tables of concepts: named or not, drawn or not, with their phi coefficient.

Rows hold ``stratum`` (the tag), ``group`` (the concept), ``side`` ("named" for a reply, "drawn" for
an image) and ``correct``. Phi is Pearson's correlation of two yes-or-no variables (Yule 1912). The
odds ratio is the conditional one with its exact interval (Cornfield 1956), which holds for few
concepts and for empty cells, where phi has none.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import Interval, Metric, count
from harmon_eval.metrics.rows import Mask
from harmon_eval.metrics.shares import group_means, mean_of, of_groups
from harmon_eval.tasks.geneval.prompts import TAGS

if TYPE_CHECKING:
    import pandas as pd

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


def in_cell(rows: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Which concepts are in the cell that the metric ``TAG_CELL`` names."""
    cell = next(cell for cell in CELLS if metric.endswith(cell))
    right = rows["correct"].astype(float)
    can = right.groupby([rows["group"], rows["side"]], sort=False).mean().unstack()
    can = can.reindex(index=rows["group"].unique(), columns=["named", "drawn"])
    named, drawn = (can > HALF).to_numpy().T
    wanted = {"both": (True, True), "named_only": (True, False), "drawn_only": (False, True)}
    by_name, by_drawing = wanted.get(cell, (False, False))
    return of_groups(rows, ((named == by_name) & (drawn == by_drawing)).astype(float))


def every_tag(present: Collection[str], cell: str) -> Mapping[str, float]:
    return mean_of(f"{tag}_{cell}" for tag in TAGS)(present, cell)


def phi_span(rows: pd.DataFrame, metric: str) -> Interval | None:
    """The phi that the ends of the odds ratio's interval give with these margins; None with an
    empty cell."""
    found = counts(rows, metric.removesuffix("_phi"))
    odds = exact_odds_ratio(*found)
    if 0 in found or odds is None:
        return None
    low, high = odds[1]
    return _phi_of(low, *found), _phi_of(high, *found)


def odds_ratio_span(rows: pd.DataFrame, metric: str) -> Interval | None:
    """None where one side never varies. An end without a limit is infinite."""
    odds = exact_odds_ratio(*counts(rows, metric.removesuffix("_odds_ratio")))
    return odds[1] if odds else None


# Cells, then ``TAG_CELL``. It is neither good nor bad if a concept is on one side only.
BETTER = {"both": True, "named_only": None, "drawn_only": None, "neither": False}
METRICS = (
    *(
        Metric(
            cell,
            better,
            rows=lambda rows, name: in_tables(rows),
            headline=cell == "both",
            mean_of=every_tag,
        )
        for cell, better in BETTER.items()
    ),
    *(
        Metric(f"*_{cell}", better, rows=counted(cell), of=in_cell)
        for cell, better in BETTER.items()
    ),
    Metric("*_phi", None, rows=counted("phi"), span=phi_span),
    Metric("*_odds_ratio", None, None, counted("odds_ratio"), span=odds_ratio_span),
    Metric("*_naming", rows=counted("naming", "named"), of=group_means("correct")),
    Metric("*_drawing", rows=counted("drawing", "drawn"), of=group_means("correct")),
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


def exact_odds_ratio(
    both: int, named_only: int, drawn_only: int, neither: int
) -> tuple[float, Interval] | None:
    """The conditional odds ratio with its exact 95 % interval, from 0 to infinity; None where one
    side never varies. Source: ``scipy.stats.contingency.odds_ratio``."""
    from scipy.stats.contingency import odds_ratio

    table = np.array([[both, named_only], [drawn_only, neither]])
    if not (table.sum(0).all() and table.sum(1).all()):
        return None
    found = odds_ratio(table, kind="conditional")
    low, high = found.confidence_interval(0.95)
    return float(found.statistic), (float(low), float(high))


def _phi_of(ratio: float, both: int, named_only: int, drawn_only: int, neither: int) -> float:
    """The phi of the table with these margins and this odds ratio (Plackett 1965)."""
    n = both + named_only + drawn_only + neither
    named, drawn = (both + named_only) / n, (both + drawn_only) / n
    if math.isclose(ratio, 1):
        return 0.0
    half = 1 + (named + drawn) * (ratio - 1)
    cell = (half - math.sqrt(half**2 - 4 * ratio * (ratio - 1) * named * drawn)) / (2 * (ratio - 1))
    return phi(cell, named - cell, drawn - cell, 1 - named - drawn + cell)


def counts(rows: pd.DataFrame, tag: str) -> tuple[int, int, int, int]:
    """How many concepts of the tag are in each cell."""
    found = concepts(rows)
    own = found[found["stratum"] == tag]
    return cells(own["named"].to_numpy(), own["drawn"].to_numpy())


def cells(named: np.ndarray, drawn: np.ndarray) -> tuple[int, int, int, int]:
    """How many concepts are in each cell, from their shares of right responses (concepts,)."""
    can_name, can_draw = named > HALF, drawn > HALF
    both, either = int((can_name & can_draw).sum()), int((can_name | can_draw).sum())
    return both, int(can_name.sum()) - both, int(can_draw.sum()) - both, len(named) - either


def table(own: pd.DataFrame) -> dict[str, float]:
    """The 2 x 2 table of concepts as shares, how the sides go together, and the mean shares of
    right responses."""
    named, drawn = own["named"].to_numpy(), own["drawn"].to_numpy()
    found = cells(named, drawn)
    shares = {name: count / len(own) for name, count in zip(CELLS, found, strict=True)}
    shares["phi"] = phi(*found)
    if odds := exact_odds_ratio(*found):
        shares["odds_ratio"] = odds[0]
    return {**shares, "naming": float(named.mean()), "drawing": float(drawn.mean())}


def by_tag(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    parts = {tag: found[found["stratum"] == tag] for tag in TAGS}
    return {tag: own for tag, own in parts.items() if len(own)}


def overall(found: pd.DataFrame) -> dict[str, float]:
    """The unweighted means of the tables of all tags."""
    tables = [table(own) for own in by_tag(found).values()]
    return {name: math.fsum(t[name] for t in tables) / len(tables) for name in CELLS}


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
