"""A checklist as a task: the functions that every benchmark of this form shares.

``benchmark`` makes a ``Task`` from a function that reads the files of a benchmark. What differs
from one to the next is data (``rules.Protocol``) and, where the published script reads or adds up
otherwise, a ``Published``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Data,
    Draw,
    Instruments,
    Metric,
    Row,
    Sample,
    Score,
    Source,
    Task,
    Unscorable,
    UserError,
)
from harmon_eval.instruments.judging import Verdict, judge_of
from harmon_eval.metrics.floors import MOST
from harmon_eval.metrics.rows import Mask, after, known
from harmon_eval.metrics.shares import group_means
from harmon_eval.replies.probabilities import First, read
from harmon_eval.tasks.checklist import asking, rules
from harmon_eval.tasks.checklist.files import Item, Point
from harmon_eval.tasks.checklist.replies import TOGETHER, Right, word

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Checklist:
    """The items of a benchmark, how they are asked about and added up, and the user's templates
    (``ask.txt``, ``system.txt``)."""

    items: Sequence[Item]
    protocol: rules.Protocol = field(default_factory=rules.Protocol)
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """The published script beside ours: ``row`` gives further columns of an image from its item
    and the raw replies, ``totals`` numbers named ``as_published...`` from them."""

    row: Callable[[Item, Sequence[str]], Row]
    totals: Callable[[pd.DataFrame], Mapping[str, float]]
    metrics: tuple[Metric, ...]


Load = Callable[[Data], Checklist]
Place = Callable[[Item], tuple[str, str]]  # group and stratum of an item


def stratum_of(item: Item, protocol: rules.Protocol) -> str:
    """The groups of the first step of the totals, if they are the item's."""
    return ", ".join(item.group[name] for name in protocol.total[0].by if name in item.group)


def shuffle_of(argument: str) -> tuple[str, int | None]:
    """``REST+shuffle=SEED`` in two parts; None where there is no seed."""
    rest, _, seed = argument.rpartition("shuffle=")
    if not seed.isdecimal() or len(seed) > 9 or not (rest == "" or rest.endswith("+")):
        return argument, None
    return rest.removesuffix("+"), int(seed)


def only_shuffle(name: str, argument: str) -> int | None:
    """The seed of a task that has no other variants. Raises UserError for anything else."""
    rest, shuffle = shuffle_of(argument)
    if rest:
        raise UserError(f"{name}:{argument}: give {name}:shuffle=SEED, or {name} alone")
    return shuffle


def samples(
    data: Data,
    load: Load,
    shuffle: int | None = None,
    place: Place | None = None,
) -> Iterator[Sample]:
    """Raises UserError for points to be shuffled that are asked about one by one."""
    checklist = load(data)
    if shuffle is not None and checklist.protocol.ask != "together":
        raise UserError(
            "shuffle: these points are asked about one by one, so their order is of no account: "
            "leave it out"
        )
    for item in checklist.items:
        target = {
            "item": asdict(item),
            "protocol": _written(checklist.protocol),
            "templates": dict(checklist.templates),
        }
        if shuffle is not None:
            # Each item by its own stream: what else is in the file does not matter.
            seed = int.from_bytes(hashlib.sha256(f"{shuffle} {item.id}".encode()).digest()[:8])
            target["order"] = np.random.default_rng(seed).permutation(len(item.points)).tolist()
        group, stratum = place(item) if place else (item.id, stratum_of(item, checklist.protocol))
        for index in range(item.images or data.images_per_prompt):
            request = Draw(item.prompt, index=index)
            yield Sample(f"{item.id}/{index:04d}", request, target, group, stratum)


def _written(protocol: rules.Protocol) -> dict[str, Any]:
    return {name: getattr(protocol, name) for name in ("ask", "reply", "dependency", "item")}


def item_of(sample: Sample) -> Item:
    """The item as it was read."""
    written = dict(sample.target["item"])
    points = [
        Point(**{**point, "forms": tuple(point["forms"]), "parents": tuple(point["parents"])})
        for point in written.pop("points")
    ]
    return Item(points=tuple(points), **written)


def asked_item(sample: Sample) -> Item:
    """The item with its points in the order in which they are asked about."""
    item = item_of(sample)
    order = sample.target.get("order")
    if order is None:
        return item
    return replace(item, points=tuple(item.points[number] for number in order))


def protocol_of(sample: Sample) -> rules.Protocol:
    return rules.Protocol(**sample.target["protocol"])


def judged(sample: Sample, image: Path | None) -> list[Ask | Score]:
    own = sample.target["templates"]
    return asking.asks(asked_item(sample), protocol_of(sample), image, own)


def mark(
    answers: Sequence[Answer], instruments: Instruments, published: Published | None = None
) -> list[Row]:
    """One row an image: what was answered, its score, and sums by kind.

    An image with a point that has no answer is unscored."""
    judge = instruments["judge"]
    rows: list[Row] = []
    for answer in answers:
        item, protocol = item_of(answer.sample), protocol_of(answer.sample)
        asked = judged(answer.sample, answer.image)
        found = _verdicts(judge, asked, asked_item(answer.sample), protocol)
        failed = next((v for v in found if isinstance(v, Unscorable)), None)
        if failed:
            rows.append({"unscored": str(failed)})
            continue
        verdicts = [v for v in found if isinstance(v, Verdict)]
        values = [v.value for v in verdicts]
        models = ", ".join(sorted({v.model for v in verdicts if v.model}))
        row: Row = {"judge": judge.name, "judge_as_returned": models}
        if protocol.reply == asking.PROBABILITY:
            row |= probable_row(item, protocol, values)
        else:
            row |= image_row(item, protocol, _right(item, protocol, values))
        if published:
            row |= published.row(asked_item(answer.sample), [v.reply for v in verdicts])
        rows.append(row)
    return rows


def points(sample: Sample, row: Mapping[str, Any]) -> list[tuple[str, bool | float]]:
    """Of each point, whether what was answered is right, before dependencies."""
    right = json.loads(row["points"])
    return [(p.text, right[p.id]) for p in item_of(sample).points if p.id in right]


def _verdicts(
    judge: Any, asked: Sequence[Ask | Score], item: Item, protocol: rules.Protocol
) -> list[Verdict[Any] | Unscorable]:
    if protocol.reply == asking.PROBABILITY:
        return list(judge.verdicts(asked, partial(read, options=1)))
    if protocol.ask == "together":
        return list(judge.verdicts(asked, TOGETHER[protocol.reply](item.points)))
    found: dict[int, Verdict[Any] | Unscorable] = {}
    # Points that are read alike are asked about in one go, so that a judge can batch them.
    ways: dict[tuple[str, ...], list[int]] = {}
    for number, point in enumerate(item.points):
        ways.setdefault((point.expect, *point.forms), []).append(number)
    for numbers in ways.values():
        parse = word(item.points[numbers[0]])
        found |= zip(numbers, judge.verdicts([asked[n] for n in numbers], parse), strict=True)
    return [found[number] for number in range(len(item.points))]


def _right(item: Item, protocol: rules.Protocol, values: Sequence[Any]) -> Right:
    if protocol.ask == "together":
        return dict(values[0])
    return {point.id: value for point, value in zip(item.points, values, strict=True)}


def probable_row(item: Item, protocol: rules.Protocol, values: Sequence[First]) -> Row:
    """Columns of an image from the probability of each point's expected answer, with the upper ends
    where only a part of the distribution was seen."""
    ids = [point.id for point in item.points]
    masses = {i: value.masses[0] for i, value in zip(ids, values, strict=True)}
    row = image_row(item, protocol, masses)
    if any(value.unseen for value in values):
        most = {i: min(1.0, masses[i] + v.unseen) for i, v in zip(ids, values, strict=True)}
        ends = image_row(item, protocol, most)
        row |= {MOST + c: v for c, v in ends.items() if c == "score" or c.startswith(rules.RIGHT)}
    return row


def image_row(item: Item, protocol: rules.Protocol, right: Mapping[str, float]) -> Row:
    """Columns of an image: ``points`` (what was answered rightly, or how likely, before
    dependencies), ``score`` in [0, 1] and the sums after dependencies."""
    counts = rules.DEPENDENCY[protocol.dependency](item.points, right)
    return {
        "points": json.dumps({i: v if v in (0, 1) else round(v, 6) for i, v in right.items()}),
        "score": rules.score(item.points, counts, protocol.item),
        **{rules.BY + name: value for name, value in item.group.items()},
        **rules.sums(item.points, counts),
    }


def bounds(sample: Sample) -> tuple[Row, Row]:
    """All points wrong, and all right."""
    item, protocol = item_of(sample), protocol_of(sample)

    def row(truth: bool) -> Row:
        right = {point.id: truth for point in item.points}
        return {"judge": None, **image_row(item, protocol, right)}

    return row(False), row(True)


def summarize(
    rows: pd.DataFrame,
    name: str,
    protocol: rules.Protocol,
    published: Published | None = None,
    shuffle: int | None = None,
) -> dict[str, float]:
    """All in percent. ``NAME[judge]``: the mean of the last step of the totals, whose values follow
    as ``total/...``; ``kind/...``: share of the points of a kind that count."""
    last = rules.totals(rows, protocol)
    label = judge_of(rows) + (f", shuffle {shuffle}" if shuffle is not None else "")
    found = {f"{name}[{label}]": 100 * sum(last.values()) / len(last)}
    found |= {f"total/{', '.join(key)}": 100 * value for key, value in last.items() if key}
    found |= {f"kind/{kind}": 100 * rules.share(rows, kind) for kind in rules.kinds(rows)}
    for label in sorted(c for c in rows.columns if c.startswith(rules.BY)):
        for value, own in rows.groupby(label):
            mean = own.groupby("group")["score"].mean().mean()
            found[f"{label.removeprefix(rules.BY)}/{value}"] = 100 * float(mean)
    return found | dict(published.totals(rows) if published else {})


def _of_kind(rows: pd.DataFrame, metric: str) -> pd.Series:
    return rows[rules.OF + metric.removeprefix("kind/")] > 0


def _kind_share(rows: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
    kind = metric.removeprefix("kind/")
    right, of = (rows[c + kind].fillna(0).to_numpy(np.float64) for c in (rules.RIGHT, rules.OF))
    return right, of


def _of_total(
    rows: pd.DataFrame, metric: str, protocol: rules.Protocol
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the last step's values, or the one of them that ``total/...`` names."""
    table = rules.counted(rows, protocol)
    if metric.startswith("total/"):
        table = table[table["cell"].map(", ".join) == metric.removeprefix("total/")]
    places, count = table["row"], len(rows)
    return (
        np.bincount(places, weights=table["mark"], minlength=count),
        np.bincount(places, weights=table["weight"], minlength=count),
    )


def _of_group(rows: pd.DataFrame, metric: str) -> pd.Series:
    name, _, value = metric.partition("/")
    return rows[rules.BY + name] == value


def benchmark(
    name: str,
    load: Load,
    about: About,
    sources: Mapping[str, Source],
    protocol: rules.Protocol | None = None,
    published: Published | None = None,
    total: Mask | None = None,
    shuffle: int | None = None,
    place: Place | None = None,
) -> Task:
    """The task. ``shuffle`` asks about points in an order drawn with this seed. ``total`` says
    which rows a number ``total/...`` counts (default: those whose group of the last step has its
    name). ``place`` says which items are one group, being about equally hard (default: each is its
    own)."""
    own = protocol or rules.Protocol()
    last = own.total[-1].by
    whole = partial(_of_total, protocol=own)
    of_total = total or (after("/", rules.BY + last[0]) if len(last) == 1 else None)
    return Task(
        samples=partial(samples, load=load, shuffle=shuffle, place=place),
        mark=partial(mark, published=published),
        summarize=partial(summarize, name=name, protocol=own, published=published, shuffle=shuffle),
        metrics=(
            Metric(f"{name}[*]", maximum=100.0, headline=True, of=whole, strata=True),
            *(published.metrics if published else ()),
            Metric("total/*", maximum=100.0, rows=of_total, of=whole, strata=True),
            Metric("kind/*", maximum=100.0, rows=_of_kind, of=_kind_share),
            Metric("*/*", maximum=100.0, rows=_of_group, of=group_means("score")),
        ),
        about=about,
        sources=sources,
        instruments={"judge": ""},
        judged=judged,
        points=points,
        bounds=bounds,
        shuffles=own.ask == "together",
        columns=("judge", "score", "by:*", "right:*", "of:*", "published*"),
    )


def as_published(*names: str, column: str) -> tuple[Metric, ...]:
    """Metrics of the published script, which count the rows that have its ``column``."""
    return tuple(Metric(name, maximum=100.0, rows=known(column)) for name in names)
