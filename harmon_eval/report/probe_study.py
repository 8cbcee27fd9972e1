"""Encoders side by side, as in Harmon's preliminary study (arXiv 2503.21979): table and plot.

The paper compares MAR's encoder with VQGAN, VAE and SigLIP; it published neither code nor settings,
so the order of encoders can be compared with it, its percentages cannot.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harmon_eval.core import UserError
from harmon_eval.metrics.text import estimate
from harmon_eval.running.evaluate import Outcome
from harmon_eval.store.durable import write_whole
from harmon_eval.store.tables import cell

PLOTTED = "lbfgs"


def study(outcomes: Sequence[Outcome], task: str = "linear_probe") -> pd.DataFrame:
    """One row for each run's features, part and probe: ``model``, ``layer``, ``pool``,
    ``dimension``, ``probe``, ``value`` with ``low`` and ``high`` (percent), ``run``.

    Raises UserError for a run without a result of the probe."""
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        path = outcome.folder.path
        model = outcome.folder.manifest["identity"]["model"]
        if (result := outcome.results.get(task)) is None:
            raise UserError(f"{path} has no result of {task} yet: give the same command again")
        parts = model["settings"].get("parts", {})
        first = next(iter(parts), "")
        for metric, value in result.metrics.items():
            name, _, part = metric.partition("@")
            if not name.startswith("top1[") or not name.endswith("]"):
                continue
            part = part or first
            low, high = result.intervals.get(metric) or (None, None)
            layer, _, pool = part.partition("-")
            rows.append(
                {
                    "model": model["name"],
                    "layer": layer or str(model["settings"].get("layer", "")),
                    "pool": pool or str(model["settings"].get("pool", "")),
                    "dimension": _dimension(result.metrics, parts.get(part)),
                    "probe": name.removeprefix("top1[").removesuffix("]"),
                    "value": value,
                    "low": low,
                    "high": high,
                    "run": str(path),
                }
            )
    return pd.DataFrame(rows)


def _dimension(metrics: Mapping[str, float], ends: Sequence[int] | None) -> int:
    if ends:
        return ends[1] - ends[0]
    found = next(v for name, v in metrics.items() if name.partition("/")[0] == "dimension")
    return int(found)


def table(found: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each model and part, a column for each probe; in the order they came."""
    keys = ["run", "model", "layer", "pool", "dimension"]
    probes = list(dict.fromkeys(found["probe"]))
    rows = []
    for key, own in found.groupby(keys, sort=False):
        values = {r.probe: estimate(r.value, r.low, r.high) for r in own.itertuples()}
        shown = dict(zip(keys[1:], map(str, key[1:]), strict=True))
        rows.append(shown | {name: values.get(name, "") for name in probes})
    return rows


def write(found: pd.DataFrame, folder: Path) -> None:
    """``probe.csv``, ``probe.md`` and ``probe.png``."""
    write_whole(folder / "probe.csv", found.to_csv(index=False))
    rows = table(found)
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(map(cell, row.values())) + " |" for row in rows]
    write_whole(folder / "probe.md", "\n".join(lines) + "\n")
    draw(found[found["probe"] == PLOTTED], folder / "probe.png")


def draw(found: pd.DataFrame, file: Path) -> None:
    """Top-1 with its 95 % interval over the layers, a line for each pooling; models of one kind of
    features are lines across."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    count = found.groupby("run")["layer"].transform("nunique")
    swept, others = found[count > 1], found[count == 1]
    order = sorted(set(swept["layer"]), key=lambda name: int(name) if name.isdecimal() else 10**6)
    for (_, model, pool), own in swept.groupby(["run", "model", "pool"], sort=False):
        own = own.assign(place=own["layer"].map(order.index)).sort_values("place")
        reach = [own["value"] - own["low"], own["high"] - own["value"]]
        axes.errorbar(
            own["place"],
            own["value"],
            yerr=reach,
            marker="o",
            capsize=3,
            label=_plain(f"{model}, {pool}"),
        )
    for number_, row in enumerate(others.itertuples()):
        color = f"C{(swept['pool'].nunique() + number_) % 10}"
        name = " ".join(filter(None, (row.model, row.layer, row.pool)))
        axes.axhline(row.value, ls="--", color=color, label=_plain(f"{name} ({row.dimension})"))
        axes.axhspan(row.low, row.high, color=color, alpha=0.12)
    axes.set_xticks(range(len(order)), order)
    axes.set(xlabel="block of the MAR encoder", ylabel=f"top-1 [{PLOTTED}], %")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(file, buffer.getvalue())


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
