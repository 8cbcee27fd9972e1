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
    import pandas as pd

    labels = {name: rows[BY + name] for name in _names(rows)}
    for name, family in protocol.families.items():
        labels[name] = labels[family.of].map(lambda value, f=family: f.names.get(value, value))
    table = pd.DataFrame({"item": rows["group"], **labels})
    value, weight = rows["score"].astype(float), None
    for number, step in enumerate(protocol.total):
        if step.mean == "points":
            table, value, weight = _points(rows, table, "kind" in step.by)
        elif step.mean == "items" or number == 0:
            keys = [name for name in table.columns]
            merged = value.groupby([table[name] for name in keys], dropna=False).mean()
            table, value = merged.index.to_frame(index=False), merged.reset_index(drop=True)
        table, value = _averaged(table, value, weight, step.by, protocol.families)
        weight = None
    names = [name for name in protocol.total[-1].by if name in table.columns]
    keys_of = table[names].astype(str).itertuples(index=False, name=None)
    return dict(zip(map(tuple, keys_of), map(float, value), strict=True))


def _names(rows: pd.DataFrame) -> list[str]:
    return [name.removeprefix(BY) for name in rows.columns if name.startswith(BY)]


def _points(
    rows: pd.DataFrame, table: pd.DataFrame, by_kind: bool
) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """A row for each image, or for each image and kind: sum of right points, number of points."""
    import pandas as pd

    parts = []
    for kind in kinds(rows) if by_kind else [ALL]:
        right, of = (_exactly(rows, start, kind) for start in (RIGHT, OF))
        part = table.assign(kind=kind, right=right, of=of)
        parts.append(part[part["of"] > 0])
    found = pd.concat(parts, ignore_index=True)
    return found.drop(columns=["right", "of"]), found["right"], found["of"]


def _exactly(rows: pd.DataFrame, start: str, kind: str) -> pd.Series:
    """The sums of the points of just this kind, those of longer paths left out."""
    total = rows[start + kind]
    if kind == ALL:
        return total
    longer = [k for k in kinds(rows) if k.rpartition("/")[0] == kind]
    return total - rows[[start + k for k in longer]].sum(axis=1)


def _averaged(
    table: pd.DataFrame,
    value: pd.Series,
    weight: pd.Series | None,
    by: Sequence[str],
    families: Mapping[str, Family],
) -> tuple[pd.DataFrame, pd.Series]:
    """Means for each combination of ``by``, or one of all; sums of points are micro-averaged."""
    import pandas as pd

    weights = pd.Series(1.0, index=value.index) if weight is None else weight
    if not by:
        return pd.DataFrame(index=[0]), pd.Series([float(value.sum() / weights.sum())])
    # What a value belongs to follows it, so that a later step can group by a coarser name.
    kept = [*by, *(n for n, f in families.items() if f.of in by and n not in by)]
    keys = [table[name] for name in kept]
    found = value.groupby(keys).sum() / weights.groupby(keys).sum()
    return found.index.to_frame(index=False), found.reset_index(drop=True)
