"""Plots as numbers in per cent of the plot's width and height; the templates draw them as SVG.

Text stays HTML beside the drawing, so that it keeps its size on every screen and can be read aloud.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval.core import Task, UserError
from harmon_eval.metrics.text import estimate, number
from harmon_eval.ranking.entries import chosen_models
from harmon_eval.store.tables import floors_of

SHARES = "scores with 95 % intervals"
HISTORY_COLUMNS = ("step", "task", "metric", "value")
PUBLISHED_COLUMNS = ("model", "task", "metric", "value", "source")


@dataclass(frozen=True)
class Bar:
    """One value: ``series`` numbers its run or baseline, ``low`` and ``high`` are its interval,
    ``floors`` what takes no look at the sample gets, by its name.

    ``quoted`` values are published ones; several of them that disagree span the interval."""

    label: str
    series: int
    value: float
    low: float | None
    high: float | None
    text: str
    quoted: bool = False
    floors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BarPlot:
    """Bars of metrics on one axis from ``start`` to ``end``."""

    title: str
    metrics: Mapping[str, Sequence[Bar]]
    start: float
    end: float

    def x(self, value: float | None) -> float:
        """Place on the axis in per cent; outside of it the nearest end."""
        share = ((value if value is not None else self.start) - self.start) / (
            self.end - self.start
        )
        return round(100 * min(max(share, 0.0), 1.0), 2)

    @property
    def ticks(self) -> list[str]:
        return [number(self.start + (self.end - self.start) * part) for part in (0, 0.5, 1)]


def family(metric: str) -> str:
    """``fid`` of ``fid[clean,inception]/people``."""
    return re.split(r"[\[/]", metric)[0]


def bar_plots(
    results: Sequence[tuple[str, Mapping[str, Any]]],
    quoted: pd.DataFrame | None = None,
    task: Task | None = None,
) -> list[BarPlot]:
    """The task's metrics that have an interval, one plot for each kind of them.

    ``results``: name and stored metrics of this run and of the one beside it; ``quoted``: published
    values (model, metric, value, source), shown where a metric has the very same name. With
    ``task``, scores that go up to the same maximum share an axis that ends there."""
    first = results[0][1]
    shares = first["higher_is_better"] and _is_share(first["metrics"].get(first["headline"]))
    kinds: dict[str, list[str]] = {}
    ends: dict[str, float] = {}
    for name, value in first["metrics"].items():
        if value is None or name not in first["intervals"]:
            continue
        if shares and not _is_share(value):
            continue
        top = 1.0 if shares else _maximum(task, name)
        kind = family(name) if top is None else SHARES if shares else f"{SHARES}, of {top:g}"
        kinds.setdefault(kind, []).append(name)
        ends[kind] = top or 0.0
    plots = []
    for kind, names in kinds.items():
        bars = {name: _bars(name, results, quoted) for name in names}
        reach = [
            v
            for each in bars.values()
            for b in each
            for v in (b.value, b.low, b.high, *b.floors.values())
            if v is not None
        ]
        end = ends[kind] or max(*reach, 0.0)
        start = min(*reach, 0.0)
        if end > start:
            plots.append(BarPlot(kind, bars, start, end))
    return plots


def _maximum(task: Task | None, name: str) -> float | None:
    """Of a score; None for what has no upper limit, or is the better the lower it is."""
    try:
        metric = task.metric(name) if task else None
    except KeyError:  # of another version
        return None
    return metric.maximum if metric and metric.higher_is_better else None


def _is_share(value: object) -> bool:
    return isinstance(value, float | int) and 0 <= value <= 1


def _bars(
    name: str, results: Sequence[tuple[str, Mapping[str, Any]]], quoted: pd.DataFrame | None
) -> list[Bar]:
    bars = []
    for series, (label, result) in enumerate(results):
        value = result["metrics"].get(name)
        if value is not None:
            low, high = result["intervals"].get(name, (None, None))
            text = estimate(value, low, high)
            floors = floors_of(result, name)
            bars.append(Bar(label, series, float(value), low, high, text, floors=floors))
    if quoted is None:
        return bars
    models = list(dict.fromkeys(quoted["model"]))
    for model, own in quoted[quoted["metric"] == name].groupby("model", sort=False):
        values = own["value"].astype(float)
        low, high = float(values.min()), float(values.max())
        text = number(low) if low == high else f"{number(low)} to {number(high)}"
        sources = ", ".join(dict.fromkeys(own["source"].astype(str)))
        series = len(results) + models.index(model)
        ends: tuple[float | None, float | None] = (low, high) if low < high else (None, None)
        text = f"{text} ({sources})"
        bars.append(Bar(str(model), series, high, ends[0], ends[1], text, quoted=True))
    return bars


# -- history -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """``x``, ``y`` in per cent from the top left; ``low`` and ``high`` likewise, None without."""

    x: float
    y: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class LinePlot:
    title: str
    points: Sequence[Point]
    bottom: str
    top: str
    first: str
    last: str

    @property
    def line(self) -> str:
        return " ".join(f"{p.x},{p.y}" for p in self.points)

    @property
    def band(self) -> str:
        known = [p for p in self.points if p.low is not None]
        edge = [f"{p.x},{p.high}" for p in known] + [f"{p.x},{p.low}" for p in reversed(known)]
        return " ".join(edge) if len(known) > 1 else ""


def line_plots(history: pd.DataFrame, wanted: Mapping[str, str]) -> list[LinePlot]:
    """One plot for each task's headline over the training steps. ``wanted``: task -> metric."""
    plots = []
    for task, metric in wanted.items():
        own = history[(history["task"] == task) & (history["metric"] == metric)]
        own = own.dropna(subset=["value"]).sort_values("step")
        if len(own):
            plots.append(_line_plot(f"{task}: {metric}", own))
    return plots


def _line_plot(title: str, own: pd.DataFrame) -> LinePlot:
    ends = own.reindex(columns=["value", "low", "high"]).to_numpy(dtype=float)
    finite = [v for v in ends.ravel() if math.isfinite(v)]
    low, high = min(finite), max(finite)
    pad = 0.08 * (high - low) or max(abs(high), 1.0) * 0.08
    low, high = low - pad, high + pad
    steps = own["step"].astype(float).to_list()
    span = steps[-1] - steps[0]

    def y(value: float) -> float | None:
        return (
            round(float(100 * (high - value) / (high - low)), 2) if math.isfinite(value) else None
        )

    points = []
    for step, (value, bottom, top) in zip(steps, ends, strict=True):
        x = round(100 * (step - steps[0]) / span, 2) if span else 50.0
        told = f"step {step:g}: {estimate(value, bottom, top)}"
        points.append(Point(x, y(value) or 0.0, y(bottom), y(top), told))
    return LinePlot(
        title, points, number(low), number(high), f"step {steps[0]:g}", f"step {steps[-1]:g}"
    )


# -- files -------------------------------------------------------------------------------------


def read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """A CSV or Parquet file with at least these columns. Raises UserError."""
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a table: {error}") from None
    if lacking := [name for name in columns if name not in table.columns]:
        raise UserError(f"{path} has no column {lacking[0]!r}: it needs {', '.join(columns)}")
    return table


def read_published(path: Path, names: str) -> pd.DataFrame:
    """Published values of the models ``names``, as the leaderboard takes them: ``janus-pro-7b``,
    ``janus`` for every size, ``all``. Raises UserError for a model that the file does not have."""
    table = read_table(path, PUBLISHED_COLUMNS)
    table = table.assign(model=table["model"].astype(str))
    return table[table["model"].isin(chosen_models(names, list(dict.fromkeys(table["model"]))))]
