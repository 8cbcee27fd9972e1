"""From the answers about an item's points to its score, and from scores to totals.

The four dependency rules are those of DSG and OneIG (``direct``), of DPG's script (``in_order``),
ours (``transitive``), and none. Sources: j-min/DSG @ 7330119, OneIG-Benchmark @ 41b4983, ELLA @
3c228f1, TIIF-Bench @ 3aae750, UniGenBench @ 49d0bce.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harmon_eval.tasks.checklist.files import Point

if TYPE_CHECKING:
    import pandas as pd

RIGHT, OF, BY = "right:", "of:", "by:"  # columns of a row: sums by kind, and the item's groups
ALL = ""  # the kind of all points


def none(points: Sequence[Point], right: Mapping[str, float]) -> dict[str, float]:
    """Each point counts as it was answered, or as its answer is likely."""
    return {point.id: right[point.id] for point in points}


def direct(points: Sequence[Point], right: Mapping[str, float]) -> dict[str, float]:
    """A point counts if it and each of its parents, as they were answered, are right."""
    return {
        p.id: bool(right[p.id] and all([right[parent] for parent in p.parents])) for p in points
    }


def in_order(points: Sequence[Point], right: Mapping[str, float]) -> dict[str, float]:
    """In file order: a point that was set to wrong is wrong for those after it, and a parent that
    comes later counts as it was answered. Raises KeyError for a parent without an answer."""
    counts = dict(right)
    for point in points:
        if not all([counts[parent] for parent in point.parents]):
            counts[point.id] = False
    return {point.id: counts[point.id] for point in points}


def transitive(points: Sequence[Point], right: Mapping[str, float]) -> dict[str, float]:
    """A point counts if it and all its ancestors are right, in whatever order they stand."""
    counts = none(points, right)
    changed = True
    while changed:
        kept = direct(points, counts)
        changed, counts = kept != counts, kept
    return counts


DEPENDENCY: dict[str, Callable[[Sequence[Point], Mapping[str, float]], dict[str, float]]] = {
    "none": none,
    "direct": direct,
    "in_order": in_order,
    "transitive": transitive,
}


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(values) / len(values)


def _weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / math.fsum(weights)


def _geometric(values: Sequence[float], weights: Sequence[float]) -> float:
    """0 if one value is 0."""
    if min(values) <= 0:
        return 0.0
    return math.exp(math.fsum(map(math.log, values)) / len(values))


ITEM: dict[str, Callable[[Sequence[float], Sequence[float]], float]] = {
    "mean": _mean,
    "weighted": _weighted,
    "product": lambda values, weights: math.prod(values),
    "geometric": _geometric,
    "all": lambda values, weights: float(all(value == 1 for value in values)),
}


@dataclass(frozen=True)
class Step:
    """One step of a total: the mean of ``points``, of ``items``, or of the step ``below``, for
    each combination of ``by`` (group names, ``kind``, or named families of a group)."""

    mean: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """A coarser group: ``of`` is the group that it is made from, ``names`` value -> family."""

    of: str
    names: Mapping[str, str]


@dataclass(frozen=True)
class Protocol:
    """How the points are asked about and added up; ``checklist.toml`` in Python.

    ``ask``: each point by itself, or all of an image together. ``reply``: the form of the replies.
    ``dependency`` and ``item``: keys of ``DEPENDENCY`` and ``ITEM``. ``total``: the steps from the
    bottom; the headline is the mean of the last one's values."""

    ask: str = "each"
    reply: str = "word"
    dependency: str = "transitive"
    item: str = "mean"
    total: tuple[Step, ...] = (Step("items"),)
    families: Mapping[str, Family] = field(default_factory=dict)


def score(points: Sequence[Point], counts: Mapping[str, float], rule: str = "mean") -> float:
    """An item's score in [0, 1] from what counts, or how likely it is, by a rule of ``ITEM``."""
    values = [float(counts[point.id]) for point in points]
    return ITEM[rule](values, [point.weight for point in points])


def sums(
    points: Sequence[Point], counts: Mapping[str, float], prefix: str = ""
) -> dict[str, float]:
    """Points that count and points, of all and of every prefix of their kinds, as columns."""
    found: dict[str, float] = {}
    for point in points:
        for kind in (ALL, *point.kinds):
            for start, value in ((RIGHT, float(counts[point.id])), (OF, 1.0)):
                name = f"{prefix}{start}{kind}"
                found[name] = found.get(name, 0.0) + value
    return found


def kinds(rows: pd.DataFrame, prefix: str = "") -> list[str]:
    """The kinds of the points of these rows, without the one of all points."""
    start = prefix + OF
    own = (name.removeprefix(start) for name in rows.columns if name.startswith(start))
    return sorted(kind for kind in own if kind != ALL and (rows[start + kind] > 0).any())


def share(rows: pd.DataFrame, kind: str = ALL, prefix: str = "") -> float:
    """Points of a kind that count, as a share of them, over all images."""
    return float(rows[f"{prefix}{RIGHT}{kind}"].sum() / rows[f"{prefix}{OF}{kind}"].sum())


def totals(rows: pd.DataFrame, protocol: Protocol) -> dict[tuple[str, ...], float]:
    """The values of the last step, by its groups; the empty tuple where it has none.

    ``rows``: one an image, with ``group`` (the item), ``score``, ``by:NAME`` and ``sums``."""
    table = counted(rows, protocol)
    sums = table.groupby("cell")[["mark", "weight"]].sum()
    return {cell: float(m / w) for cell, m, w in sums.itertuples(name=None)}


def counted(rows: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """What each image, or each image and kind, counts in the mean of the last step's values.

    Columns: ``row`` (the image's place in ``rows``), ``cell`` (the groups of the last step),
    ``weight`` (all of them add up to 1) and ``mark`` (from 0 to the weight)."""
    first, *later = protocol.total
    points = first.mean == "points"
    names = _names(rows)
    table = _points(rows, "kind" in first.by) if points else _items(rows, names)
    for name in names:
        table[name] = rows[BY + name].to_numpy()[table["row"]]
    for name, family in protocol.families.items():
        own = table[family.of]
        table[name] = own.map(lambda value, f=family: f.names.get(value, value))
    cells = _cells(table, first.by)
    scale = 1 / table["weight"].groupby(cells).transform("sum")
    for step in later:
        below, cells = cells, _cells(table, step.by)
        scale /= below.groupby(cells).transform("nunique")
    scale /= cells.nunique()
    known = [name for name in protocol.total[-1].by if name in table]
    keys = list(table[known].astype(str).itertuples(index=False, name=None))
    table["mark"], table["weight"] = table["mark"] * scale, table["weight"] * scale
    return table[["row", "mark", "weight"]].assign(cell=keys)


def _cells(table: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """A number for each combination of ``by``."""
    import pandas as pd

    if not by:
        return pd.Series(0, index=table.index)
    return table.groupby([table[name] for name in by]).ngroup()


def _names(rows: pd.DataFrame) -> list[str]:
    return [name.removeprefix(BY) for name in rows.columns if name.startswith(BY)]


def _items(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """A line for each image; those of an item share its weight of 1."""
    import pandas as pd

    keys = [rows[name] for name in ("group", *(BY + name for name in names))]
    weight = 1 / rows["score"].groupby(keys, dropna=False).transform("size").to_numpy(float)
    score = rows["score"].to_numpy(float)
    return pd.DataFrame({"row": range(len(rows)), "mark": score * weight, "weight": weight})


def _points(rows: pd.DataFrame, by_kind: bool) -> pd.DataFrame:
    """A line for each image, or for each image and kind: points that count, and points."""
    import pandas as pd

    known, parts = kinds(rows) if by_kind else [ALL], []
    for kind in known:
        longer = [k for k in known if k.rpartition("/")[0] == kind != ALL]
        # Of just this kind: the points of longer paths are theirs.
        mark, weight = (
            rows[start + kind].to_numpy(float)
            - rows[[start + k for k in longer]].sum(axis=1).to_numpy(float)
            for start in (RIGHT, OF)
        )
        part = pd.DataFrame({"row": range(len(rows)), "kind": kind, "mark": mark, "weight": weight})
        parts.append(part[part["weight"] > 0])
    return pd.concat(parts, ignore_index=True)
